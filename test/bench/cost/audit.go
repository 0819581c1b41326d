package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/test/controlplane"
)

// Request says how often a program made one kind of request to the API server.
type Request struct {
	User     string `json:"user"`
	Verb     string `json:"verb"`
	Resource string `json:"resource"`
	// OneObject is whether it was about an object that was named.
	OneObject bool `json:"oneObject,omitempty"`
	Count     int  `json:"count"`
}

// parseAudit counts the requests in an audit log. One that takes long, as a watch does,
// has several lines.
func parseAudit(r io.Reader) ([]Request, error) {
	type entry struct {
		AuditID, Verb, RequestURI, UserAgent string
		User                                 struct{ Username string }
		ObjectRef                            struct{ Resource, Subresource, APIGroup, Name string }
	}
	counts, seen := map[Request]int{}, map[string]bool{}
	for in, line := bufio.NewReader(r), 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // What has no end is still being written.
		}
		if err != nil {
			return nil, err
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("audit log, line %d: %w", line, err)
		}
		if seen[e.AuditID] || e.UserAgent == controlplane.UserAgent {
			continue // Package controlplane asks what these users may, before they run.
		}
		seen[e.AuditID] = true
		r := Request{
			User: e.User.Username[strings.LastIndexByte(e.User.Username, ':')+1:], Verb: e.Verb, Resource: resourceOf(e.ObjectRef.Resource, e.ObjectRef.APIGroup, e.ObjectRef.Subresource, e.RequestURI),
			OneObject: e.ObjectRef.Name != "" || strings.Contains(e.RequestURI, "metadata.name%3D"),
		}
		if r.OneObject {
			// There are few, and which it was matters.
			r.Resource += " " + e.ObjectRef.Name
		}
		counts[r]++
	}
	out := make([]Request, 0, len(counts))
	for r, n := range counts {
		r.Count = n
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Request) int {
		return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Verb, b.Verb), cmp.Compare(a.Resource, b.Resource))
	})
	return out, nil
}

// resourceOf names what a request is about, as kubectl would; of discovery the path.
func resourceOf(resource, group, sub, uri string) string {
	if resource == "" {
		path, _, _ := strings.Cut(uri, "?")
		return path
	}
	if group != "" {
		resource += "." + group
	}
	if sub != "" {
		resource += "/" + sub
	}
	return resource
}

// sameWatches returns what is wrong if the two programs do not watch the same kinds.
func sameWatches(requests []Request) error {
	watched := map[string]map[string]bool{rollspanUser: {}, floorUser: {}}
	for _, r := range requests {
		if r.Verb == "watch" {
			watched[r.User][r.Resource] = true
		}
	}
	ours, floors := slices.Sorted(maps.Keys(watched[rollspanUser])), slices.Sorted(maps.Keys(watched[floorUser]))
	if !slices.Equal(ours, floors) {
		return fmt.Errorf("rollspan watches %s; test/bench/floor must watch the same, and watches %s", strings.Join(ours, ", "), strings.Join(floors, ", "))
	}
	return nil
}
