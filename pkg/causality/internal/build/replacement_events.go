package build

import (
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans"
)

// keptFrom reports whether an Event about the set of a lost pod says that no pod could be
// made in its place, for a quota or a webhook, while it was waited for.
func keptFrom(root *spans.Span, ev *podlife.Event) bool {
	return ev.Reason == "FailedCreate" && within(ev.First(), root.Start, root.End)
}
