package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/journal"
	"github.com/rollspan/rollspan/pkg/otlp"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/webhook"
)

// orderOutput notes when it gets a trace.
type orderOutput struct{ note func(string) }

func (o orderOutput) Deliver(spans.Trace) error { o.note("delivered"); return nil }

func (orderOutput) Close(context.Context) error { return nil }

// What is told of a change is on the disk, and survives the machine, before its spans go on: they may
// be acknowledged from then on, and the next process would not tell of the change again.
func TestTheWebhookIsToldBeforeSpansAreKept(t *testing.T) {
	silent := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silent }))
	defer receiver.Close()
	defer close(silent)
	encoder, err := otlp.NewEncoder(otlp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	queue, err := journal.OpenQueue(journal.QueueOptions{Dir: t.TempDir(), Kept: func([]journal.SpanKey) { note("kept") }})
	if err != nil {
		t.Fatal(err)
	}
	sender, err := webhook.New(webhook.Config{URL: receiver.URL}, &webhook.Teller{Encoder: encoder}, webhookQueue{queue}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	out := toldOutput{noticedOutput{orderOutput{note}, sender.Finished}, sender, queue}
	if err := out.Deliver(spans.Trace{Spans: []spans.Span{{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, Subject: "deployment/web",
		Attributes: []attribute.KeyValue{attr.ChangeKey.String(string(attr.ChangeRollout)), attr.OutcomeKey.String(string(attr.OutcomeComplete))},
	}}}); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := out.Close(ended); err != nil {
		t.Error(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(order, []string{"kept", "delivered"}) {
		t.Errorf("it is %q", order)
	}
}
