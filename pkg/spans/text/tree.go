// Package text writes traces for people: in a terminal, in golden files, in a
// bug report. It is apart from package spans because a program that sends its
// traces elsewhere has no use for it.
package text

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// WriteTree writes a trace as text for people: one line a span, indented below
// its parent, with the offset of its start from the first span's, its
// duration, the object, and, where it matters, outcome and error; the span's
// events and links below it. A bar marks the spans on the critical path, which
// is listed at the end. What a terminal would act upon is escaped, whoever wrote
// it, and no text begins a line of its own.
func WriteTree(w io.Writer, t spans.Trace) error { return WriteTreeAt(w, t, "") }

// WriteTreeAt writes the tree with the URL at which the trace is, in a line below the first
// span; nothing for an empty one.
func WriteTreeAt(w io.Writer, t spans.Trace, url string) error {
	if len(t.Spans) == 0 {
		return nil
	}
	out := bufio.NewWriter(w)
	tw := &treeWriter{
		out: out, epoch: t.Spans[0].Start, url: url,
		depth: map[trace.SpanID]int{}, names: map[trace.SpanID]string{},
	}
	for i := range t.Spans {
		tw.names[t.Spans[i].SpanID] = t.Spans[i].Name + "  " + t.Spans[i].Subject
	}
	tw.header(&t)
	for i := range t.Spans {
		tw.span(&t.Spans[i])
	}
	tw.criticalPath(t.Root())
	return out.Flush()
}

// treeWriter holds the line that is being written. It leaves by way of end, and by
// no other, so that what objects and Events say cannot end it.
type treeWriter struct {
	bytes.Buffer
	out   *bufio.Writer
	epoch time.Time
	url   string // where the trace is, until that was said
	depth map[trace.SpanID]int
	names map[trace.SpanID]string
}

// end writes the line.
func (w *treeWriter) end() {
	w.out.WriteString(terminal.Line(w.String()))
	w.out.WriteByte('\n')
	w.Reset()
}

func (w *treeWriter) header(t *spans.Trace) {
	root := t.Root()
	fmt.Fprintf(w, "%s  trace %s", root.Start.UTC().Format("2006-01-02T15:04:05.000Z"), root.TraceID)
	if root.ParentID.IsValid() && !t.Late {
		fmt.Fprintf(w, " below span %s", root.ParentID)
	}
	if ns, ok := root.Attribute(semconv.K8SNamespaceNameKey); ok {
		fmt.Fprintf(w, "  namespace %s", ns.AsString())
	}
	if t.Late {
		fmt.Fprint(w, "  (later)")
	}
	w.end()
}

// Columns of the tree, wide enough for hours.
const (
	offsetWidth   = 10
	durationWidth = 9
)

func (w *treeWriter) span(s *spans.Span) {
	depth := 0
	if d, ok := w.depth[s.ParentID]; ok {
		depth = d + 1
	}
	w.depth[s.SpanID] = depth
	w.columns(offset(s.Start.Sub(w.epoch)), seconds(s.End.Sub(s.Start)))
	if critical, ok := s.Attribute(attr.CriticalKey); ok && critical.AsBool() {
		w.WriteString("| ")
	} else {
		w.WriteString("  ")
	}
	fmt.Fprintf(w, "%s%s  %s", indent(depth), s.Name, s.Subject)
	for _, note := range notes(s) {
		fmt.Fprintf(w, "  %s", note)
	}
	if s.Status == codes.Error {
		fmt.Fprintf(w, "  ERROR: %s", oneLine(s.Message))
	}
	w.end()
	if w.url != "" {
		w.columns("", "")
		fmt.Fprintf(w, "  %s@ %s", indent(depth+1), w.url)
		w.end()
		w.url = ""
	}
	w.changed(depth+1, s)
	for _, l := range s.Links {
		w.columns("", "")
		fmt.Fprintf(w, "  %s-> %s %s", indent(depth+1), cmp.Or(attr.LinkType(l.Attributes), "link"), w.target(l, s.TraceID))
		w.end()
	}
	for _, e := range s.Events {
		w.event(depth+1, e)
	}
}

// criticalPath lists what the change waited for, one thing after the other.
func (w *treeWriter) criticalPath(root *spans.Span) {
	segments, ok := root.Attribute(attr.CriticalPathSegmentsKey)
	if !ok {
		return
	}
	fmt.Fprintf(w, "%*s critical path%s:", offsetWidth, "", comparison(root))
	w.end()
	for _, s := range segments.AsStringSlice() {
		took, what, _ := strings.Cut(s, " ")
		fmt.Fprintf(w, "%*s %*s | %s", offsetWidth, "", durationWidth, took, what)
		w.end()
	}
}

// comparison says how long the rollout before took, and what was slower now.
func comparison(root *spans.Span) string {
	previous, ok := root.Attribute(attr.PreviousDurationKey)
	if !ok {
		return ""
	}
	text := fmt.Sprintf(" (the rollout before took %.3fs", previous.AsFloat64())
	if phase, ok := root.Attribute(attr.SlowerPhaseKey); ok {
		by, _ := root.Attribute(attr.SlowerByKey)
		text += fmt.Sprintf("; %s +%.3fs", attr.Phase(phase.AsString()), by.AsFloat64())
	}
	return text + ")"
}

// changed says what the span's change made another.
func (w *treeWriter) changed(depth int, s *spans.Span) {
	v, ok := s.Attribute(attr.ChangedFieldsKey)
	if !ok {
		return
	}
	w.columns("", "")
	fmt.Fprintf(w, "  %s~ changed %s", indent(depth), strings.Join(v.AsStringSlice(), ", "))
	if left, ok := s.Attribute(attr.ChangedLeftOutKey); ok {
		fmt.Fprintf(w, " and %d more", left.AsInt64())
	}
	w.end()
}

// target names what a link leads to: a span of the same trace, or another one.
func (w *treeWriter) target(l spans.Link, own trace.TraceID) string {
	if name, ok := w.names[l.SpanID]; ok && l.TraceID == own {
		return name
	}
	return "trace " + l.TraceID.String()
}

func (w *treeWriter) columns(start, duration string) {
	fmt.Fprintf(w, "%*s %*s ", offsetWidth, start, durationWidth, duration)
}

func (w *treeWriter) event(depth int, e spans.Event) {
	w.columns(offset(e.Time.Sub(w.epoch)), "")
	fmt.Fprintf(w, "  %s* %s", indent(depth), e.Name)
	attrs := attribute.NewSet(slices.Clone(e.Attributes)...) // which sorts what it is given
	if n, ok := attrs.Value(attr.K8SEventCountKey); ok && n.AsInt64() > 1 {
		fmt.Fprintf(w, " x%d", n.AsInt64())
	}
	if m, ok := attrs.Value(attr.K8SEventMessageKey); ok {
		fmt.Fprintf(w, ": %s", oneLine(m.AsString()))
	}
	w.end()
}

// shown are the attributes worth a place in the line, and how they read.
var shown = []struct {
	key    attribute.Key
	format string
}{
	{attr.RevisionKey, "revision %s"},
	{attr.ScaleFromKey, "%s"},
	{attr.ScaleToKey, "-> %s"},
	{attr.OrdinalsFromKey, "from ordinal %s"},
	{attr.OrdinalsToKey, "to %s"},
	{attr.OutcomeKey, "%s"},
	{attr.CauseKey, "cause %s"},
	{attr.AutoscaleReasonKey, "because of %s"},
	{attr.RollbackRevisionKey, "to revision %s"},
	{attr.ManagerNameKey, "by %s"},
	{attr.ManagerSubresourceKey, "through %s"},
	{attr.PodsReadyKey, "%s"},
	{attr.PodsWantedKey, "of %s ready"},
	{attr.JobSucceededKey, "%s"},
	{attr.JobCompletionsKey, "of %s succeeded"},
	{attr.JobFailedKey, "%s failed"},
	{attr.OwnersKey, "owned by %s"},
	{attr.WaitingReasonKey, "%s"},
	{attr.WaitingMessageKey, "%s"},
	{attr.DisruptionKey, "%s"},
	{attr.PodMessageKey, "(%s)"},
	{attr.ToleratedDurationKey, "tolerated for %ss"},
	{attr.PullWaitingKey, "queued %ss"},
	{attr.CutShortKey, "%s"},
	{attr.ForcedKey, "forced"},
	{attr.SidecarKey, "sidecar"},
	{semconv.ProcessExitCodeKey, "exit code %s"},
	{attr.RestartsLeftOutKey, "%s restarts left out"},
	{attr.GracePeriodExceededKey, "killed after the grace period"},
	{attr.GracePeriodOverrunKey, "%ss over the grace period"},
	{attr.ClockOffsetKey, "clock off by %ss"},
	{attr.FinalizersKey, "finalizers %s"},
	{attr.SinceRolloutKey, "%ss after the rollout"},
	{attr.UnknownKey, "not known %s"},
	{attr.StartPrecisionKey, "began within %ss"},
	{attr.StartSourceKey, "(%s)"},
	{attr.EndPrecisionKey, "ended within %ss"},
	{attr.EndSourceKey, "(%s)"},
}

func notes(s *spans.Span) []string {
	var out []string
	waits, waiting := s.Attribute(attr.WaitingForKey)
	if _, open := s.Attribute(attr.InProgressKey); open && waiting {
		return []string{oneLine(waits.AsString())} // it has the other attributes in words
	}
	for _, k := range shown {
		if k.key == semconv.ProcessExitCodeKey && saysExitCode(s) {
			continue
		}
		if v, ok := s.Attribute(k.key); ok {
			text := v.String()
			switch v.Type() {
			case attribute.FLOAT64:
				text = strconv.FormatFloat(v.AsFloat64(), 'f', 3, 64)
			case attribute.STRING:
				text = oneLine(text)
			case attribute.STRINGSLICE:
				text = strings.Join(v.AsStringSlice(), ", ")
			}
			_, ready := s.Attribute(attr.PodsReadyKey)
			_, number := s.Attribute(attr.JobCompletionsKey)
			switch {
			case k.key == attr.PodsWantedKey && !ready:
				text += " wanted" // how many were ready nobody knows
			case k.key == attr.JobSucceededKey && !number:
				text += " succeeded" // of a work queue, which has no number to reach
			case strings.Contains(k.format, "%"):
				text = fmt.Sprintf(k.format, text)
			default:
				text = k.format // that it is there says all
			}
			out = append(out, text)
		}
	}
	if waiting {
		out = append(out, "waited for: "+oneLine(waits.AsString()))
	}
	return out
}

// saysExitCode reports whether the error of a span names its exit code, which needs no note then:
// "OOMKilled (exit code 137)".
func saysExitCode(s *spans.Span) bool {
	code, ok := s.Attribute(semconv.ProcessExitCodeKey)
	if !ok || s.Status != codes.Error {
		return false
	}
	words := "exit code " + code.String()
	for rest := s.Message; ; {
		_, after, found := strings.Cut(rest, words)
		if !found {
			return false
		}
		if after == "" || after[0] < '0' || after[0] > '9' {
			return true
		}
		rest = after
	}
}

func indent(depth int) string { return strings.Repeat("  ", depth) }

func offset(d time.Duration) string {
	if d < 0 {
		return seconds(d)
	}
	return "+" + seconds(d)
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) + "s"
}

// oneLine makes words of a message of several lines, which is nicer than escapes.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
