package spans

import (
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// TestOrdered holds that spans come with their parents first, siblings by their starts, and
// what began at once in the order in which it was made.
func TestOrdered(t *testing.T) {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	span := func(name string, id, parent byte, start int) *Span {
		return &Span{Name: name, SpanID: trace.SpanID{id}, ParentID: trace.SpanID{parent}, Start: at(start)}
	}
	leaf := span("leaf", 5, 3, 9)
	leaf.Events = []Event{{Name: "second", Time: at(2)}, {Name: "first", Time: at(1)}, {Name: "third", Time: at(2)}}
	made := []*Span{
		leaf,
		span("late child", 4, 1, 7),
		span("root", 1, 9, 5), // what it is below is not among them
		span("child", 2, 1, 6),
		span("twin", 3, 1, 6),
		span("elsewhere", 6, 8, 4),
	}
	var names, events []string
	for _, s := range Ordered(made) {
		names = append(names, s.Name)
		for _, ev := range s.Events {
			events = append(events, ev.Name)
		}
	}
	if want := []string{"elsewhere", "root", "child", "twin", "leaf", "late child"}; !slices.Equal(names, want) {
		t.Errorf("the spans come as %q, want %q", names, want)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(events, want) {
		t.Errorf("the events come as %q, want %q", events, want)
	}
}
