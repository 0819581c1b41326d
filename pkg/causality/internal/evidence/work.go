package evidence

// Work counts steps.
type Work struct{ Left int }

// Exhausted is what a panic carries that ends work which is too much.
type Exhausted struct{}

// Spend takes n steps. It panics when none are left, which the boundary takes.
func (w *Work) Spend(n int) {
	if w == nil {
		return
	}
	if w.Left -= n; w.Left < 0 {
		panic(Exhausted{})
	}
}
