package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/rollspan/rollspan/pkg/causality"
)

// RecordOptions say what a Recorder records.
type RecordOptions struct {
	// Config is how to reach the API server. Required.
	Config *rest.Config
	// Namespaces are what is recorded. Default: all.
	Namespaces []string
	// Kinds are what is recorded, by kind or resource name. Default:
	// RecordKinds, and of other kinds that own one of these, or that an Event is
	// about, the metadata. Kinds that may not be read, or that the API server
	// does not know, are named in the log and left out.
	Kinds []string
	// Keep are names of Keepable: what is not to be replaced. See Redactor for what
	// is, by default.
	Keep []string
	// Out gets the recording, a whole line with each write. Required.
	Out io.Writer
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
}

// Recorder writes what a watch sees as a recording that RecordingReader reads:
// the objects that are there at the start as ADDED and "initial", and then
// every change, as whole objects.
type Recorder struct {
	options  RecordOptions
	sources  []source
	owners   *owners
	trouble  *trouble
	redactor *Redactor

	mu     sync.Mutex
	counts map[string]int
}

// NewRecorder returns a Recorder that has not started.
func NewRecorder(o RecordOptions) (*Recorder, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	kinds, err := kindsNamed(o.Kinds)
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(o.Config)
	config.Wrap(boundPages)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	if err := CheckKeep(o.Keep); err != nil {
		return nil, err
	}
	r := &Recorder{
		options: o, trouble: newTrouble(o.Log, o.Config.Host), redactor: NewRedactor(o.Keep...), counts: map[string]int{},
	}
	for _, k := range kinds {
		r.sources = append(r.sources, recordSources(client, k, o.Namespaces)...)
	}
	if len(o.Kinds) == 0 {
		c, err := newCluster(o.Config)
		if err != nil {
			return nil, err
		}
		r.owners = newOwners(c.lookup.find, c.metadata, recordKinds, o.Namespaces, o.Log)
	}
	return r, nil
}

// recordSources are the sources of one kind. Where namespaces are wanted, they
// are recorded themselves, and kube-system, whose UID is the cluster's.
func recordSources(client dynamic.Interface, k kind, namespaces []string) []source {
	var sources []source
	if k == namespaceKind && len(namespaces) > 0 {
		names := append(slices.Clone(namespaces), metav1.NamespaceSystem)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			s := source{kind: k, object: name, optional: true, level: slog.LevelWarn}
			s.client = dynamicListWatch(client.Resource(k.gvr()), "metadata.name="+name)
			sources = append(sources, s)
		}
		return sources
	}
	for _, ns := range k.in(namespaces) {
		s := source{kind: k, namespace: ns, optional: true, level: slog.LevelWarn}
		s.client = dynamicListWatch(client.Resource(k.gvr()).Namespace(ns), "")
		sources = append(sources, s)
	}
	return sources
}

func dynamicListWatch(client dynamic.ResourceInterface, fieldSelector string) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = fieldSelector
			return client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = fieldSelector
			return client.Watch(ctx, o)
		},
	}, client)
}

// Run records until ctx is done, which is no error. It fails if there is
// nothing that may be recorded, or if Out does.
func (r *Recorder) Run(ctx context.Context) error {
	var readable []source
	for _, s := range r.sources {
		ok, err := r.readable(ctx, s)
		if err != nil {
			return nil // only ctx ends this; it is not an error to be stopped
		}
		if ok {
			readable = append(readable, s)
		}
	}
	if len(readable) == 0 {
		return fmt.Errorf("there is nothing to record: none of the %d kinds can be read", len(r.sources))
	}

	recording, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	streams := &streams{
		now:     newSteadyClock(clock.RealClock{}, &causality.Options{}).Now,
		sources: readable,
		owners:  r.owners,
		trouble: r.trouble,
		log:     r.options.Log,
		metrics: newStreamMetrics(),
		emit: func(o causality.Observation) error {
			err := r.write(o)
			if err != nil {
				stop(err)
			}
			return err
		},
	}
	streams.run(recording)
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(recording)
}

// readable asks for one object to see whether a source can be listed. While
// the API server does not answer it waits; the error is ctx's.
func (r *Recorder) readable(ctx context.Context, s source) (bool, error) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	for {
		_, err := cache.ToListerWithContext(s.client).ListWithContext(ctx, metav1.ListOptions{Limit: 1})
		switch {
		case err == nil:
			r.trouble.worked(s.name())
			return true, nil
		case apierrors.IsForbidden(err):
			r.options.Log.Warn("not recorded: "+s.name(), "needs", s.permission().String())
			return false, nil
		case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
			r.options.Log.Warn("not recorded: "+s.name(), "because", "the API server does not know "+s.kind.GroupVersion().String()+" "+s.kind.Kind)
			return false, nil
		}
		r.trouble.failed(s.level, s.name(), err, "")
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(backoff.Step()):
		}
	}
}

// recordedLine is a line of a recording, as RecordingReader describes it.
type recordedLine struct {
	Time    string          `json:"time"`
	Type    watch.EventType `json:"type"`
	Initial bool            `json:"initial,omitempty"`
	Object  any             `json:"object"`
}

func (r *Recorder) write(o causality.Observation) error {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o.Object)
	if err != nil {
		return err
	}
	r.redactor.Object(object)
	line := recordedLine{
		Time:    o.Time.UTC().Format(time.RFC3339Nano),
		Type:    o.Type,
		Initial: o.Initial,
		Object:  object,
	}
	b, err := json.Marshal(line)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[o.Object.GetObjectKind().GroupVersionKind().Kind]++
	_, err = r.options.Out.Write(append(b, '\n'))
	return err
}

// KindCount is how many lines of a kind were written.
type KindCount struct {
	Kind  string
	Lines int
}

// Counts returns how many lines were written so far, by kind: in the order of
// RecordKinds, without the kinds of which there were none, and then the others.
func (r *Recorder) Counts() []KindCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	var counts []KindCount
	left := maps.Clone(r.counts)
	for _, k := range append(RecordKinds(), slices.Sorted(maps.Keys(left))...) {
		if n := left[k]; n > 0 {
			counts = append(counts, KindCount{k, n})
			delete(left, k)
		}
	}
	return counts
}
