package failover

import (
	"context"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// Holder is a Lease of rollspan's, as it was written last.
type Holder struct {
	// Lease is its name, and Identity who holds it: a pod's name, mostly; empty for nobody.
	Lease, Identity string
	// Scope are the namespaces that are watched, with commas; empty for all, and of a Lease that
	// replicas compete for.
	Scope string
	// Renewed is when it was written last.
	Renewed time.Time
}

// Expired says whether nobody holds it at a time.
func (h *Holder) Expired(now time.Time) bool {
	return h.Identity == "" || now.After(h.Renewed.Add(LeaseDuration))
}

// Holders lists the Leases of all rollspans in the client's namespace.
func Holders(ctx context.Context, client coordinationclient.LeaseInterface) ([]Holder, error) {
	list, err := client.List(ctx, allLeases)
	if err != nil {
		return nil, err
	}
	var all []Holder
	for i := range list.Items {
		l := &list.Items[i]
		h := Holder{Lease: l.Name, Scope: l.Annotations[scopeAnnotation], Identity: holderOf(l)}
		if l.Spec.RenewTime != nil {
			h.Renewed = l.Spec.RenewTime.Time
		}
		all = append(all, h)
	}
	return all, nil
}
