package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/history"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/otlp/export"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// The exit codes of `status KIND/NAME`, beside ExitOK, ExitError and what shells give for signals.
var exitCodes = map[progress.Outcome]int{
	progress.Complete: ExitOK, progress.Failed: 2, progress.TimedOut: 3,
	progress.Superseded: 4, progress.Doomed: 5, progress.Deleted: 6,
}

// statusExitCodes is what the help says of them.
const statusExitCodes = `Exit codes: 0 complete (without KIND/NAME: it answered); 1 an error, or wrong usage; 2 failed;
3 timed out (--timeout); 4 superseded; 5 doomed (--fail-fast); 6 deleted; 130 or 143 interrupted
by SIGINT or SIGTERM.`

// following is `status KIND/NAME`: it follows a rollout.
type following struct {
	*app
	asker
	timeLimit time.Duration
	failFast  bool
	traceURL  traceURL
	exporter  export.Config
	format    *answerFormat

	asked
	name string
}

// hiddenHere are flags of an exporter that sends one span.
var hiddenHere = []string{"otlp-queue-spans", "otlp-queue-bytes", "otlp-batch-spans"}

func (f *following) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	own.SortFlags = false
	f.addNamespaceFlag(own)
	own.DurationVar(&f.timeLimit, "timeout", 0, "how long to wait for the end of the rollout; 0 for as long as it takes")
	own.BoolVar(&f.failFast, "fail-fast", false, "end as soon as the rollout does not recover by itself: an invalid image name, an image that is not there, a container that keeps crashing")
	f.traceURL.addFlags(own)
	f.asker.addFlags(own)
	f.exporter.AddFlags(own)
	for _, name := range hiddenHere {
		own.Lookup(name).Hidden = true
	}
	fs.AddFlagSet(own)
	f.completeFlags(cmd)
	cmd.ValidArgsFunction = f.completeObject(func(a asked) bool { return progress.Follows(a.kind) })
}

// about reads what is to be followed.
func (f *following) about(args []string) (err error) {
	if f.asked, f.name, err = parseObject(args); err == nil && !progress.Follows(f.kind) {
		err = fmt.Errorf("%q has no rollouts that can be followed; those of %v have", args[0], progress.Kinds())
	}
	return err
}

func (f *following) validate() error {
	if f.timeLimit < 0 {
		return fmt.Errorf("--timeout: %s is not a time to wait; it must be more than 0, or 0 for as long as it takes", f.timeLimit)
	}
	return errors.Join(f.asker.validate(), f.traceURL.validate(), f.exporter.Validate())
}

// reach is how far back the rollout before is looked for.
const reach = 7 * 24 * time.Hour

// follow follows the rollout until it has ended, and says how.
func (f *following) follow(ctx context.Context) error {
	f.life.endsQuietly()
	f.life.drains(sendWithin, nil)
	began := time.Now()
	config, err := f.config()
	if err != nil {
		return err
	}
	view := f.newView()
	log := f.log
	if view.redraws() && !f.jsonLog && isTerminal(f.progress) { // else nothing on it is in the way
		log = f.newLog(view.above())
	}
	engine := causality.New(causality.Options{OnFault: watcher.LogFaults(log), OnClock: watcher.LogClocks(log)})
	target := progress.Target{Kind: f.kind, Namespace: f.namespace, Name: f.name}
	w := &followedRollout{tracker: progress.New(target, engine, f.failFast), view: view, last: progress.State{Target: target, Outcome: progress.Open}}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if f.timeLimit > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, f.timeLimit, errTimedOut)
	}
	defer cancel()
	err = watcher.Follow(limited, watcher.FollowOptions{Config: config, Kind: f.kind, Namespace: f.namespace, Name: f.name, Log: log}, w)
	end := &w.last
	var code int
	switch {
	case ctx.Err() != nil && err != nil: // the rollout may have ended as the signal came
		end.Outcome, code = progress.Interrupted, exitBy(syscall.SIGINT)
		if ended, ok := errors.AsType[*signalError](context.Cause(ctx)); ok {
			code = exitBy(ended.Signal)
		}
	case errors.Is(context.Cause(limited), errTimedOut) && err != nil:
		end.Outcome, end.Message = progress.TimedOut, "it was waited for "+f.timeLimit.String()
		code = exitCodes[progress.TimedOut]
	case err != nil:
		view.clear()
		return advised(err)
	default:
		code = exitCodes[end.Outcome]
	}
	if err := view.end(end, code); err != nil {
		return err
	}
	f.sendSpan(ctx, began, end)
	if code == ExitOK {
		return nil
	}
	return &exitError{code, errors.New(f.result(end))}
}

var errTimedOut = errors.New("the time that --timeout gives is over")

// result says how it ended.
func (f *following) result(s *progress.State) string {
	if s.Outcome == progress.TimedOut {
		return s.Result() + " (--timeout " + f.timeLimit.String() + ")"
	}
	return s.Result()
}

// followedRollout tells a view how a rollout goes.
type followedRollout struct {
	tracker *progress.Tracker
	view    *view
	last    progress.State
}

// Begin takes in what there is.
func (w *followedRollout) Begin(objects []runtime.Object, now time.Time) error {
	return w.tracker.Begin(objects, reach, now)
}

// Observe takes in what happens.
func (w *followedRollout) Observe(o causality.Observation) (last bool) {
	if !w.tracker.Observe(o) {
		return false
	}
	return w.Tick(o.Time, nil)
}

// Tick shows how it goes. While something is not seen yet that has happened, time goes on for who
// looks, and nothing is concluded from that.
func (w *followedRollout) Tick(now time.Time, behind *watcher.Behind) (last bool) {
	if behind != nil {
		if now.After(w.last.Now) {
			w.last.Now = now
		}
		w.last.Unseen, w.last.UnseenSince = behind.Why, behind.Since
		w.view.show(&w.last)
		return false
	}
	w.last = w.tracker.At(now)
	w.view.show(&w.last)
	return w.last.Outcome != progress.Open
}

// view shows how a rollout goes: as a picture that is drawn anew at a terminal, else as lines, and
// for a program when it is over.
type view struct {
	*following
	screen *screen // nil for lines
	said   string  // the last line
	// headed and compared say that the headline was printed, and how long the rollout before took;
	// blind that nothing new was seen when the last line was.
	headed, compared, blind bool
}

func (f *following) newView() *view {
	v := &view{following: f}
	if f.atTerminal && *f.format == formatTable {
		v.screen = newScreen(f.app)
	}
	return v
}

func (v *view) redraws() bool { return v.screen != nil }

// show shows how it goes now.
func (v *view) show(s *progress.State) {
	switch {
	case *v.format == formatJSON || s.Outcome != progress.Open: // which end shows
	case v.screen != nil:
		columns, height := v.screen.size()
		v.screen.draw(v.picture(s, columns, height))
	default:
		v.line(s)
	}
}

// line prints what a rollout waits for, where that has changed.
func (v *view) line(s *progress.State) {
	if !v.headed {
		v.headed = true
		fmt.Fprintln(v.Out, terminal.Line(s.Headline()))
	}
	if prospect := s.Prospect(); prospect != "" && !v.compared {
		v.compared = true
		fmt.Fprintln(v.Out, terminal.Line(prospect))
	}
	if blind := s.Unseen != ""; blind != v.blind {
		v.blind = blind
		what := "what happens is seen again"
		if blind {
			what = "nothing new is seen: " + s.Unseen
		}
		fmt.Fprintf(v.Out, "%s  %s\n", s.Now.UTC().Format(time.RFC3339), terminal.Line(what))
	}
	if waits := s.Waiting(); waits != v.said {
		v.said = waits
		fmt.Fprintf(v.Out, "%s  waits for: %s\n", s.Now.UTC().Format(time.RFC3339), terminal.Line(cmp.Or(waits, "-")))
	}
}

// picture is how it goes, in no more lines than a terminal has.
func (v *view) picture(s *progress.State, columns, height int) []string {
	sentences := []string{s.Headline(), s.Blind()}
	if s.Waits != "" {
		sentences = append(sentences, "It waits for: "+s.Waits+".")
	}
	if len(s.GoesOn) > 0 {
		sentences = append(sentences, "What goes on: "+strings.Join(s.GoesOn, "; ")+".")
	}
	sentences = append(sentences, s.Prospect())
	var lines []string
	for _, sentence := range sentences {
		lines = append(lines, fold(sentence, columns)...)
	}
	lines = append(lines, v.treeOf(s, height-len(lines)-3, true)...)
	return lines[:min(len(lines), max(height-1, 1))]
}

// treeOf is the rollout's tree in so many lines.
func (v *view) treeOf(s *progress.State, most int, brief bool) []string {
	if s.Change == nil {
		return nil
	}
	short, leftOut := progress.Tree(s.Change, most-2, brief)
	var b bytes.Buffer
	url := v.traceURL.template.Of(s.Change.Root())
	if err := text.WriteTreeAt(&b, short, url); err != nil {
		return nil // a buffer takes all
	}
	lines := []string{""}
	for line := range bytes.Lines(b.Bytes()) {
		lines = append(lines, string(bytes.TrimRight(line, "\n")))
	}
	if leftOut > 0 {
		lines = append(lines, fmt.Sprintf("%*s and %s more; 'rollspan why' has all", 21, "", counted(leftOut, "span")))
	}
	return lines
}

// clear leaves nothing of what is drawn.
func (v *view) clear() {
	if v.screen != nil {
		v.screen.draw(nil)
	}
}

// mostAtEnd is how many lines of the tree are printed when it is over.
const mostAtEnd = 200

// end shows how it has ended. Why it failed is said by who ends the program.
func (v *view) end(s *progress.State, code int) error {
	v.clear()
	if *v.format == formatJSON {
		return v.printJSON(followedJSON(s, code))
	}
	if s.Outcome == progress.Complete {
		fmt.Fprintln(v.Out, terminal.Line(v.result(s)+"."))
	}
	lines := v.treeOf(s, mostAtEnd, false)
	for _, line := range lines {
		fmt.Fprintln(v.Out, line)
	}
	if len(lines) > 0 {
		fmt.Fprintln(v.Out)
	}
	return nil
}

// FollowedJSON is how a rollout ended that was followed.
type FollowedJSON struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Outcome   string `json:"outcome"`
	ExitCode  int    `json:"exitCode"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	// WaitingFor is what it waited for then.
	WaitingFor string `json:"waitingFor,omitempty"`
	// PreviousSeconds is how long the completed rollout before took, Due when this one has taken
	// as long.
	PreviousSeconds  float64    `json:"previousSeconds,omitempty"`
	PreviousRevision int64      `json:"previousRevision,omitempty"`
	PreviousName     string     `json:"previousName,omitempty"`
	Due              *time.Time `json:"due,omitempty"`
	// Change is the rollout with its spans, where one is known; TraceKnown says that a running
	// rollspan tells it with the same IDs.
	Change     *history.ChangeJSON `json:"change,omitempty"`
	TraceKnown bool                `json:"traceKnown"`
	// Unseen is why nothing new was seen at the end, and UnseenSince since when.
	Unseen      string     `json:"unseen,omitempty"`
	UnseenSince *time.Time `json:"unseenSince,omitempty"`
}

func followedJSON(s *progress.State, code int) FollowedJSON {
	out := FollowedJSON{
		Kind: s.Target.Kind, Namespace: s.Target.Namespace, Name: s.Target.Name, Outcome: string(s.Outcome), ExitCode: code,
		Reason: s.Reason, Message: s.Message, WaitingFor: s.Waits,
		PreviousSeconds: s.Before.Seconds(), PreviousRevision: s.BeforeRevision, PreviousName: s.BeforeName,
		Due: timeOrNone(s.Due()), TraceKnown: s.TraceKnown, Unseen: s.Unseen, UnseenSince: timeOrNone(s.UnseenSince),
	}
	if s.Change != nil {
		whole := history.Change{Summary: history.Summarize(s.Change), Spans: slices.Clone(s.Change.Spans)}
		change := whole.JSON()
		out.Change = &change
	}
	return out
}
