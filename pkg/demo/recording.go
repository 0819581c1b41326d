package demo

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// recordings are copies of some that are in test/recordings, of one cluster in the same
// minutes.
//
//go:embed recordings/*.jsonl.gz
var recordings embed.FS

// recorded is one watch event of a real cluster, moved to another time and another cluster.
type recorded struct {
	// At is when it arrived.
	At time.Time
	// Type is ADDED, MODIFIED or DELETED.
	Type string
	// Object is the object as JSON.
	Object json.RawMessage

	about
}

// about is what the server has to know of an object.
type about struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Namespace       string `json:"namespace"`
		Name            string `json:"name"`
		ResourceVersion string `json:"resourceVersion"`
	} `json:"metadata"`
}

// version is the resource version as a number: those of etcd are.
func (m *about) version() int64 {
	n, _ := strconv.ParseInt(m.Metadata.ResourceVersion, 10, 64)
	return n
}

// load returns the events of all recordings in the order of their arrival.
func load() ([]recorded, error) {
	files, err := recordings.ReadDir("recordings")
	if err != nil {
		return nil, err
	}
	var all []recorded
	for _, file := range files {
		events, err := read(path.Join("recordings", file.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.Name(), err)
		}
		all = append(all, events...)
	}
	slices.SortStableFunc(all, func(a, b recorded) int { return a.At.Compare(b.At) })
	return all, nil
}

// move moves events to another time. The UIDs are others after each move, as rollspan makes
// trace IDs of them.
func move(events []recorded, by time.Duration) error {
	m := mover{by: by.Truncate(time.Second), run: uuid.New()} // most times of the API are whole seconds
	for i := range events {
		if err := m.move(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

func read(name string) ([]recorded, error) {
	file, err := recordings.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // only read
	text, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var events []recorded
	in := bufio.NewReader(text)
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var e struct {
				Time   time.Time
				Type   string
				Object json.RawMessage
			}
			if err := json.Unmarshal(line, &e); err != nil {
				return nil, err
			}
			event := recorded{At: e.Time, Type: e.Type, Object: e.Object}
			if err := json.Unmarshal(e.Object, &event.about); err != nil {
				return nil, err
			}
			events = append(events, event)
		}
		if errors.Is(err, io.EOF) {
			return events, nil
		} else if err != nil {
			return nil, err
		}
	}
}

var (
	// stated are the times of the API, and those that kubectl writes into annotations.
	stated = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	uid    = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	// named are the names of Events, which end in when they were first written, in
	// nanoseconds as hexadecimal digits (client-go, tools/record).
	named = regexp.MustCompile(`^(.+)\.([0-9a-f]{16})$`)
)

// mover moves what was recorded to another time and another cluster.
type mover struct {
	by  time.Duration
	run uuid.UUID
}

func (m mover) move(e *recorded) error {
	e.At = e.At.Add(m.by)
	e.Object = stated.ReplaceAllFunc(e.Object, m.time)
	e.Object = uid.ReplaceAllFunc(e.Object, func(old []byte) []byte {
		return []byte(uuid.NewSHA1(m.run, old).String())
	})
	if err := json.Unmarshal(e.Object, &e.about); err != nil {
		return err
	}
	if e.Kind != "Event" {
		return nil
	}
	name := m.name(e.Metadata.Name)
	e.Object = bytes.ReplaceAll(e.Object, []byte(strconv.Quote(e.Metadata.Name)), []byte(strconv.Quote(name)))
	e.Metadata.Name = name
	return nil
}

// time moves a time, and leaves it in its zone and with as many digits as it has.
func (m mover) time(old []byte) []byte {
	t, err := time.Parse(time.RFC3339Nano, string(old))
	if err != nil {
		return old
	}
	layout := time.RFC3339
	if dot := bytes.IndexByte(old, '.'); dot >= 0 {
		zone := bytes.IndexAny(old[dot:], "Z+-")
		layout = "2006-01-02T15:04:05." + string(bytes.Repeat([]byte("0"), zone-1)) + "Z07:00"
	}
	return []byte(t.Add(m.by).Format(layout))
}

func (m mover) name(old string) string {
	parts := named.FindStringSubmatch(old)
	if parts == nil {
		return old
	}
	n, err := strconv.ParseInt(parts[2], 16, 64)
	if err != nil {
		return old
	}
	return fmt.Sprintf("%s.%016x", parts[1], n+m.by.Nanoseconds())
}

// observed says whether rollspan takes an observation of an event: it watches no Namespaces, and
// makes nothing of Events that expire.
func (e *recorded) observed() bool {
	return e.Kind != "Namespace" && (e.Kind != "Event" || e.Type != "DELETED")
}

// resource is the path under which the API has objects of the kind, in all namespaces.
func (m *about) resource() string {
	gvk := schema.FromAPIVersionAndKind(m.APIVersion, m.Kind)
	plural, _ := apimeta.UnsafeGuessKindToResource(gvk)
	return path.Join(groupVersion{gvk.GroupVersion()}.path(), plural.Resource)
}
