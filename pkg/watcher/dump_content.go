package watcher

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objectKind is an object's kind, as far as known.
type objectKind struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
}

// or fills in what is missing.
func (t objectKind) or(other objectKind) objectKind {
	if t.APIVersion == "" || t.Kind == "" {
		return other
	}
	return t
}

// dumpFile is one file of a dump while it is read.
type dumpFile struct {
	dump *Dump
	name string
	// folder is the kind that the file's place in the tree tells. In support
	// bundles objects do not say it themselves.
	folder objectKind
	part   *boundedReader // bounds what is read for one value
	items  int            // objects met so far
	depth  int            // how many lists the item that is read is in, which are items themselves
	found  bool           // one of them is an object of the cluster, or was before it was damaged
}

// maxFields is how many fields an object may have at its top, where they are told
// apart before it is decoded as a whole.
const maxFields = 1000

var errFields = fmt.Errorf("an object has more than %d fields", maxFields)

// addContent reads a file of objects.
func (d *Dump) addContent(in io.Reader, name string) {
	f := &dumpFile{dump: d, name: name, folder: kindOfPlace(name)}
	buffered := bufio.NewReaderSize(untilFull{in, d}, sniffBytes)
	head, cut := buffered.Peek(sniffBytes) // a short stream has a short head
	if isUTF16(head) {
		buffered = bufio.NewReaderSize(fromUTF16(buffered), sniffBytes)
		head, cut = buffered.Peek(sniffBytes)
	}
	content := sniff(head, name)
	buffered = skipBOM(buffered)
	if content == contentJSON {
		head, _ = buffered.Peek(sniffBytes)      // one that is shorter is whole
		_, _ = buffered.Discard(textAhead(head)) // just peeked
	}
	f.part = newBoundedReader(&withoutLogs{in: buffered}, d.memory.text(), d.memory.textTooLarge())
	switch content {
	case contentJSON:
		f.json(f.part)
	case contentYAML:
		f.yaml(bufio.NewReader(f.part))
	case contentRecording:
		d.stats.Recordings++
	case contentUnknown:
		if isDamage(cut) {
			f.broken(cut) // it may have been something
		}
	}
	if f.found {
		d.stats.Files++
	} else {
		d.stats.PassedOver++
	}
}

// json reads one JSON value after another.
func (f *dumpFile) json(in io.Reader) {
	decoder := json.NewDecoder(in)
	for {
		f.part.reset()
		start, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil {
			switch start {
			case json.Delim('{'):
				err = f.document(decoder, false)
			case json.Delim('['):
				err = f.array(decoder)
			default:
				return // text or a number: no object, nor will one come
			}
		}
		if err != nil {
			// A JSON decoder does not find back into a damaged stream.
			if f.found || isDamage(err) {
				f.broken(err)
			}
			return
		}
	}
}

// array reads a bare array to its end. Its objects are read field by field: jq --slurp makes an
// array of lists, which may be of any size.
func (f *dumpFile) array(decoder *json.Decoder) error {
	if f.depth >= maxListed {
		return errNested
	}
	f.depth++
	defer func() { f.depth-- }()
	for decoder.More() {
		f.part.reset()
		start, err := decoder.Token()
		if err != nil {
			return err
		}
		switch start {
		case json.Delim('{'):
			err = f.document(decoder, true)
		case json.Delim('['):
			err = f.array(decoder)
		default:
			var raw json.RawMessage
			if raw, err = json.Marshal(start); err == nil {
				f.object(raw, f.folder, true)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return err
}

// document reads an object, or a list of objects, to its end. Items that come
// before the list has said their kind wait for it, or for where it is cut short.
// listed says that the object is an item of a list itself.
func (f *dumpFile) document(decoder *json.Decoder, listed bool) error {
	fields := map[string]json.RawMessage{}
	var waiting waitingItems
	isList, err := f.fields(decoder, fields, &waiting)
	if err != nil && !errors.Is(err, errNoList) {
		// A list says its kind behind the items, as kubectl sorts the fields.
		f.found = f.found || fields["apiVersion"] != nil && (isList || fields["kind"] != nil) || listed && f.folder.Kind != ""
	}
	if isList || err != nil {
		f.flush(waiting, fields)
		return err
	}
	if fields["metadata"] == nil && !listed {
		return nil
	}
	raw, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	f.object(raw, f.folder, listed)
	return nil
}

// fields reads what an object has at its top, and of a list the items.
func (f *dumpFile) fields(decoder *json.Decoder, fields map[string]json.RawMessage, waiting *waitingItems) (isList bool, err error) {
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return isList, err
		}
		key, _ := token.(string)
		if key == "items" {
			next, err := decoder.Token()
			switch {
			case err != nil:
				return isList, err
			case next == json.Delim('{'):
				return isList, errNoList
			case next == json.Delim('['):
				err = f.list(decoder, itemKind(fields), waiting)
			}
			if isList = true; err != nil { // null is as Go writes an empty one
				return isList, err
			}
			continue
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return isList, err
		}
		if fields[key] = value; len(fields) > maxFields {
			return isList, errFields
		}
	}
	_, err = decoder.Token()
	return isList, err
}

var errNoList = errors.New("items is no list")

// itemKind is the kind of a list's items as its own kind tells, or its place.
func itemKind(fields map[string]json.RawMessage) objectKind {
	var t objectKind
	_ = json.Unmarshal(fields["apiVersion"], &t.APIVersion) // rubbish tells nothing
	_ = json.Unmarshal(fields["kind"], &t.Kind)
	kind, ok := strings.CutSuffix(t.Kind, "List")
	if !ok || kind == "" {
		return objectKind{}
	}
	return objectKind{t.APIVersion, kind}
}

// waitingItem is an item that waits for its list to say its kind.
type waitingItem struct {
	number int // in the file, from 1
	raw    json.RawMessage
}

// waitingItems are the items of a list that wait for it.
type waitingItems struct {
	items  []waitingItem
	bytes  int64
	missed int // for which there was no room
}

// waitingItemBytes is what it takes to keep an item that waits.
const waitingItemBytes = 64

// flush takes in the items that waited.
func (f *dumpFile) flush(waiting waitingItems, fields map[string]json.RawMessage) {
	for _, w := range waiting.items {
		f.again(w.number, w.raw, fields)
	}
	if waiting.missed > 0 && f.found {
		f.dump.broken(f.name, 0, fmt.Errorf("its last %d items say no kind, and are too many to wait until the list says it", waiting.missed))
	}
}

// again takes in an item that was met before, when its list has told what it tells.
func (f *dumpFile) again(number int, raw json.RawMessage, fields map[string]json.RawMessage) {
	met := f.items
	f.items = number - 1
	f.object(raw, itemKind(fields).or(f.folder), true)
	f.items = met
}

// list reads items to the end of their array. Those whose kind is not known
// are put into waiting.
func (f *dumpFile) list(decoder *json.Decoder, kind objectKind, waiting *waitingItems) error {
	for decoder.More() {
		f.part.reset()
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			f.found = f.found || kind.Kind != ""
			return err
		}
		f.item(raw, kind, waiting)
	}
	_, err := decoder.Token()
	return err
}

// item takes in an item of a list. One whose kind is not known is put into
// waiting.
func (f *dumpFile) item(raw json.RawMessage, kind objectKind, waiting *waitingItems) {
	var own objectKind
	_ = json.Unmarshal(raw, &own) // what is no object shows below
	if own.or(kind).Kind == "" {
		cost := int64(len(raw)) + waitingItemBytes
		if err := f.dump.memory.fits(jsonCost(raw)); err != nil {
			f.damagedItem(err)
			return
		}
		switch {
		case f.dump.memory.fits(waiting.bytes+cost) == nil:
			f.items++
			waiting.bytes += cost
			waiting.items = append(waiting.items, waitingItem{f.items, withoutData(raw)})
			return
		case f.folder.Kind == "":
			f.items++
			waiting.missed++
			return
		}
	}
	f.object(raw, kind.or(f.folder), true)
}

// withoutData drops what Secrets and ConfigMaps hold from an item that has to wait:
// it may be one.
func withoutData(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return raw // no object
	}
	n := len(fields)
	for _, key := range []string{"data", "stringData", "binaryData"} {
		delete(fields, key)
	}
	if len(fields) == n {
		return raw
	}
	rest, err := json.Marshal(fields)
	if err != nil {
		return nil // it was parsed, so that this does not happen
	}
	return rest
}

// object takes in one object. A list's item that is none is damage; a file of
// its own that is none is only something else.
func (f *dumpFile) object(raw json.RawMessage, kind objectKind, listed bool) {
	f.items++
	if f.dump.full != nil || isDiscovery(raw) {
		return
	}
	var own objectKind
	err := json.Unmarshal(raw, &own)
	kind = own.or(kind)
	if err != nil || kind.Kind == "" || kind.APIVersion == "" {
		if listed && f.found {
			f.dump.broken(f.name, f.items, errors.New("this is no Kubernetes object"))
		}
		return
	}
	if items, ok := itemsOf(raw, kind); ok {
		f.items--
		f.nested(items, kind)
		return
	}
	if err := f.dump.memory.fits(jsonCost(raw)); err != nil {
		f.found = true
		f.dump.broken(f.name, f.items, err)
		return
	}
	object, err := decodeKind(raw, kind.APIVersion, kind.Kind)
	kept := false
	if object != nil {
		var lack error
		kept, lack = f.dump.keep(object)
		if lack != nil {
			f.found = true
			f.noMemory(lack)
			return
		}
		if meta, ok := object.(metav1.Object); ok && !kept && err == nil && meta.GetUID() == "" {
			f.dump.stats.WithoutUID++
		}
	}
	f.found = f.found || kept
	if err != nil && (listed || kept) {
		f.found = true
		f.dump.broken(f.name, f.items, err)
	}
}

// maxListed is how deep lists may be in lists. Two is what jq --slurp makes of several.
const maxListed = 8

// itemsOf are the items of a list that is an item itself.
func itemsOf(raw json.RawMessage, kind objectKind) ([]json.RawMessage, bool) {
	var list struct{ Items []json.RawMessage }
	if !strings.HasSuffix(kind.Kind, "List") || json.Unmarshal(raw, &list) != nil {
		return nil, false
	}
	return list.Items, list.Items != nil
}

// nested takes in the items of a list that is an item itself.
func (f *dumpFile) nested(items []json.RawMessage, list objectKind) {
	if f.depth >= maxListed {
		f.damagedItem(errNested)
		return
	}
	f.depth++
	kind := objectKind{}
	if name := strings.TrimSuffix(list.Kind, "List"); name != "" {
		kind = objectKind{list.APIVersion, name}
	}
	for _, item := range items {
		f.object(item, kind.or(f.folder), true)
	}
	f.depth--
}

var errNested = fmt.Errorf("lists are in lists more than %d deep; give the innermost as a file of its own", maxListed)

// isDiscovery reports whether something is what an API server says of its API: which groups
// and resources it serves (k8s.io/apimachinery/pkg/apis/meta/v1). Support bundles have that
// beside the objects, also without its kind.
func isDiscovery(raw json.RawMessage) bool {
	var is struct {
		Kind, GroupVersion string
		Metadata           json.RawMessage
		Resources, Groups  json.RawMessage
		PreferredVersion   json.RawMessage
	}
	if json.Unmarshal(raw, &is) != nil || is.Metadata != nil {
		return false
	}
	switch is.Kind {
	case "APIResourceList", "APIGroupList", "APIGroup", "APIVersions":
		return true
	case "":
		return is.GroupVersion != "" && is.Resources != nil || is.Groups != nil || is.PreferredVersion != nil
	}
	return false
}

// noMemory leaves out an object that would take too much memory alone, or ends the
// reading if it is that there is no more.
func (f *dumpFile) noMemory(err error) {
	var lack memoryError
	if errors.As(err, &lack) && lack.total {
		f.dump.full = &ItemError{File: f.name, Item: f.items, Err: err}
		return
	}
	f.dump.broken(f.name, f.items, err)
}

// damagedItem reports an item that cannot be read.
func (f *dumpFile) damagedItem(err error) {
	f.items++
	f.found = true
	f.dump.broken(f.name, f.items, err)
}

// broken reports damage behind the last item.
func (f *dumpFile) broken(err error) {
	f.found = true
	f.dump.broken(f.name, f.items+1, err)
}

// kindOfPlace is the kind that a file of a dump is about by its name or its
// folder's: cluster-resources/pods/shop.json, shop/core/pods.yaml. The
// nearest name that is one counts.
func kindOfPlace(name string) objectKind {
	place := path.Clean(unpackedName(name))
	place = strings.TrimSuffix(place, path.Ext(place))
	for range 2 {
		resource := path.Base(place)
		if resource == "pvcs" {
			resource = "persistentvolumeclaims"
		}
		i := slices.IndexFunc(recordKinds, func(k kind) bool { return k.resource == resource })
		if i >= 0 {
			return objectKind{recordKinds[i].GroupVersion().String(), recordKinds[i].Kind}
		}
		place = path.Dir(place)
	}
	return objectKind{}
}
