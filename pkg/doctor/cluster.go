package doctor

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/metadata"

	"github.com/rollspan/rollspan/pkg/failover"
)

// list reads the metadata of some objects of a kind in the core group, which the API server
// has several more of.
func (e *examination) list(ctx context.Context, resource, namespace string, limit int64) (*metav1.PartialObjectMetadataList, error) {
	client, err := metadata.NewForConfig(e.Config)
	if err != nil {
		return nil, err
	}
	return client.Resource(schema.GroupVersionResource{Version: "v1", Resource: resource}).Namespace(namespace).List(ctx, metav1.ListOptions{Limit: limit})
}

// namespaces looks for those that are named: to watch one that is not there brings nothing,
// and no error.
func (e *examination) namespaces(ctx context.Context) {
	client, err := metadata.NewForConfig(e.Config)
	if err != nil {
		return
	}
	for _, ns := range e.Namespaces {
		_, err := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).Get(ctx, ns, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			e.add(Finding{Check: "namespaces", Status: Failed, Reason: "missing", Found: fmt.Sprintf("there is no namespace %s", ns),
				Do: "correct --namespace, or make it"})
		}
	}
}

// events looks whether there are Events, and how far back some reach.
func (e *examination) events(ctx context.Context) {
	if e.denied["events"] {
		return // that was said
	}
	const some = 500
	n, more := 0, false
	var first time.Time
	for _, ns := range e.everywhere() {
		list, err := e.list(ctx, "events", ns, some)
		if err != nil {
			e.add(Finding{Check: "events", Status: Failed, Reason: "failed", Found: fmt.Sprintf("Events cannot be listed: %v", err),
				Do: "look into the API server's log"})
			return
		}
		for i := range list.Items {
			if at := list.Items[i].CreationTimestamp.Time; first.IsZero() || at.Before(first) {
				first = at
			}
		}
		n, more = n+len(list.Items), more || list.Continue != ""
	}
	switch {
	case n == 0:
		e.ok("events", "there are none at the moment, which is so where nothing has happened within the API server's --event-ttl")
	case more:
		e.ok("events", fmt.Sprintf("there are more than %d", n))
	default:
		e.ok("events", fmt.Sprintf("there are %d, of the last %s", n, e.Now().Sub(first).Round(time.Minute)))
	}
}

// limits is how much memory a container needs, by the number of pods: docs/memory.md.
var limits = []struct {
	pods  int64
	limit string
	bytes int64
}{
	{10_000, "384Mi", 384 << 20},
	{50_000, "1Gi", 1 << 30},
	{150_000, "2560Mi", 2560 << 20},
}

// memory compares what a process may take with what pods there are.
func (e *examination) memory(ctx context.Context) {
	if e.denied["pods"] {
		return
	}
	pods := int64(0)
	for _, ns := range e.everywhere() {
		list, err := e.list(ctx, "pods", ns, 1)
		if err != nil {
			return // that the API server fails was said
		}
		pods += int64(len(list.Items))
		if list.RemainingItemCount != nil {
			pods += *list.RemainingItemCount
		}
	}
	e.add(memoryFor(pods, debug.SetMemoryLimit(-1)))
}

// memoryFor judges GOMEMLIMIT, in bytes; math.MaxInt64 is none.
func memoryFor(pods, most int64) Finding {
	for _, l := range limits {
		if pods > l.pods {
			continue
		}
		f := Finding{Check: "memory", Status: OK, Found: fmt.Sprintf("of %d pods it takes no more than %s", pods, l.limit)}
		// GOMEMLIMIT is some nine tenths of a container's limit.
		if most < l.bytes/10*8 {
			f.Status, f.Reason = Warning, "little"
			f.Found += fmt.Sprintf(", and GOMEMLIMIT is %d MiB", most>>20)
			f.Do = fmt.Sprintf("set the container's limit to %s, and GOMEMLIMIT to nine tenths of it (docs/memory.md)", l.limit)
		} else if most != math.MaxInt64 {
			f.Found += ", which it has"
		}
		return f
	}
	return Finding{Check: "memory", Status: Warning, Reason: "large", Found: fmt.Sprintf("%d pods are more than rollspan was measured with", pods),
		Do: "watch the namespaces with several rollspans (docs/scale.md)"}
}

// leases says who sends, and whether there are several.
func (e *examination) leases(ctx context.Context) {
	switch {
	case e.LeaseNamespace == "":
		e.add(Finding{Check: "leases", Status: Skipped, Found: "outside of a pod there are none without --leader-elect-namespace"})
		return
	case e.denied["leases"]:
		return
	}
	client, err := coordinationclient.NewForConfig(e.Config)
	if err != nil {
		return
	}
	all, err := failover.Holders(ctx, client.Leases(e.LeaseNamespace))
	if err != nil {
		e.add(Finding{Check: "leases", Status: Warning, Reason: "failed", Found: fmt.Sprintf("Leases in namespace %s cannot be listed: %v", e.LeaseNamespace, err),
			Do: "look into the API server's log"})
		return
	}
	var held []string
	for _, h := range all {
		if !h.Expired(e.Now()) {
			held = append(held, fmt.Sprintf("%s holds %s/%s, renewed %s ago", h.Identity, e.LeaseNamespace, h.Lease, max(0, e.Now().Sub(h.Renewed)).Round(time.Second)))
		}
	}
	if len(held) == 0 {
		e.ok("leases", fmt.Sprintf("no rollspan holds one in namespace %s at the moment", e.LeaseNamespace))
		return
	}
	e.ok("leases", strings.Join(held, "; "))
}
