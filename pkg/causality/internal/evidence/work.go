package evidence

// Work is what may still be done for one workload, or with one observation, before it is
// given up. It is counted in units and not in time, so that a replay gives up where the
// live run did. A unit is a span that is built, an Event that is put on one, or a look at
// one of many.
type Work struct{ Left int }

// Exhausted is what the panic carries by which Spend ends work that is too much.
type Exhausted struct{}

// Spend takes n units. It panics with Exhausted when none are left; the boundary around
// the workload recovers that. A nil Work is without end.
func (w *Work) Spend(n int) {
	if w == nil {
		return
	}
	if w.Left -= n; w.Left < 0 {
		panic(Exhausted{})
	}
}
