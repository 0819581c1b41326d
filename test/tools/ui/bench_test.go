package ui

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/history"
	rollspan "github.com/rollspan/rollspan/pkg/ui"
)

// BenchmarkLarge opens a change of 5,000 spans: how long it is until its waterfall is drawn by the
// script and takes keys, and how much memory the page takes then.
func BenchmarkLarge(b *testing.B) {
	large := fiveThousand()
	store := history.NewMemory(history.Options{Now: later})
	store.Add(large.trace())
	page := open(b, rollspan.Options{History: store, Now: later})
	var ms, mb, unfolded float64
	for b.Loop() {
		page.goTo(large.path())
		page.wait(`performance.getEntriesByName("rollspan:ready").length > 0`)
		ms += ask[float64](page, `performance.getEntriesByName("rollspan:ready")[0].startTime`)
		page.click("[data-do=unfold]", "Unfold")
		unfolded += ask[float64](page, `(() => { const at = performance.now(); document.querySelector("[data-do=unfold]").click(); document.querySelector(".wf-rows").scrollTop = 5e4; document.body.offsetHeight; return performance.now() - at })()`)
		mb = max(mb, heapOf(page))
	}
	b.ReportMetric(ms/float64(b.N), "ms/ready")
	b.ReportMetric(unfolded/float64(b.N), "ms/unfold")
	b.ReportMetric(mb, "MB")
	b.ReportMetric(0, "ns/op")
}
