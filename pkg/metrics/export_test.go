package metrics

import (
	"testing"

	"github.com/rollspan/rollspan/pkg/otlp/export"
)

func TestExporter(t *testing.T) {
	got := scrape(t, NewExporter(func() export.Stats {
		return export.Stats{
			Enqueued: 100, Queued: 1, QueuedBytes: 2, MaxQueued: 3, MaxQueuedBytes: 4, Sent: 5, Rejected: 6,
			Dropped:  export.Dropped{QueueFull: 7, Refused: 8, TooLarge: 9, Closed: 10, Damaged: 13},
			Requests: 11, Retries: 12,
		}
	}))
	wantLines(t, got, "rollspan_",
		`rollspan_export_queue_bytes 2.0`,
		`rollspan_export_queue_capacity_bytes 4.0`,
		`rollspan_export_queue_capacity_spans 3.0`,
		`rollspan_export_queue_spans 1.0`,
		`rollspan_export_requests_total 11.0`,
		`rollspan_export_retries_total 12.0`,
		`rollspan_exported_spans_total{outcome="closed"} 10.0`,
		`rollspan_exported_spans_total{outcome="damaged"} 13.0`,
		`rollspan_exported_spans_total{outcome="queue_full"} 7.0`,
		`rollspan_exported_spans_total{outcome="refused"} 8.0`,
		`rollspan_exported_spans_total{outcome="rejected"} 6.0`,
		`rollspan_exported_spans_total{outcome="sent"} 5.0`,
		`rollspan_exported_spans_total{outcome="too_large"} 9.0`)
}
