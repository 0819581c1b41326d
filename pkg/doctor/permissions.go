package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rollspan/rollspan/pkg/watcher"
)

// permissions looks at what may be read, and at what traces lose without the rest.
func (e *examination) permissions(ctx context.Context) {
	needs, err := watcher.Survey(ctx, e.Config, e.Namespaces, e.LeaseNamespace)
	if err != nil {
		_, do := trouble(err)
		e.add(Finding{Check: "permissions", Status: Failed, Reason: "failed", Found: fmt.Sprintf("the API server does not say what is permitted: %v", err), Do: do})
		return
	}
	e.denied = map[string]bool{}
	granted, absent := map[string]bool{}, []string{}
	for _, n := range needs {
		switch {
		case n.NotServed:
			if !slices.Contains(absent, resource(n)) {
				absent = append(absent, resource(n))
			}
		case len(n.Missing) > 0:
			e.denied[n.Resource] = true
			e.lacks(n)
		default:
			granted[resource(n)] = true
		}
	}
	for _, n := range needs {
		if n.NotServed && n.Required() {
			e.add(Finding{Check: "permissions", Status: Failed, Reason: "not-served",
				Found: fmt.Sprintf("the API server has no %s", resource(n)), Do: "rollspan needs them: is this an API server of Kubernetes?"})
		}
	}
	found := fmt.Sprintf("%d kinds of objects may be used as they should", len(granted))
	if len(absent) > 0 {
		found += "; this cluster does not have " + strings.Join(absent, ", ")
	}
	e.ok("permissions", found)
	e.report.Grant = watcher.Grant(needs)
}

// lacks tells of one need that is not granted.
func (e *examination) lacks(n watcher.Need) {
	wanted := n.Permission
	wanted.Verbs = n.Missing
	f := Finding{Check: "permissions", Status: Warning, Reason: "forbidden", Found: fmt.Sprintf("rollspan may not %s: %s", wanted, n.Without),
		Do: "add the rule below to its role"}
	switch {
	case n.Required() && n.Namespace != "" && len(e.Namespaces) > 1:
		f.Status, f.Found = Failed, fmt.Sprintf("rollspan may not %s: it goes on without that namespace, if it may read all that it needs of another", wanted)
	case n.Required():
		f.Status, f.Found = Failed, fmt.Sprintf("rollspan may not %s, and ends without that", wanted)
	case n.Resource == "leases" && e.Elect:
		f.Status, f.Found = Failed, fmt.Sprintf("rollspan may not %s, so that no replica is elected, and none sends", wanted)
	case n.ClusterScoped && len(e.Namespaces) > 0:
		f.Do = "nothing, if Roles in namespaces are all that it is to have; else add the rule below to a ClusterRole"
	}
	e.add(f)
}

// resource is a need's kind, as kubectl names it.
func resource(n watcher.Need) string {
	if n.Group == "" {
		return n.Resource
	}
	return n.Resource + "." + n.Group
}
