package cli

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/progress"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// glance looks once at a Rollout of Argo Rollouts, as `status` does at first. Lists of whole objects do
// not have it, as runs read its metadata alone.
type glance struct {
	target  progress.Target
	objects []runtime.Object
	state   progress.State
	changes []spans.Trace
}

// glanceSettles is how long the engine waits for streams that are not level, which lists are.
const glanceSettles = time.Millisecond

// begin takes in what there is.
func (g *glance) begin(engine *causality.Engine, objects []runtime.Object, since time.Duration, now time.Time) error {
	tracker := progress.New(g.target, engine, false)
	if err := tracker.Begin(objects, since, now); err != nil {
		return err
	}
	g.objects, g.state = objects, tracker.At(now.Add(2*glanceSettles))
	g.state.Now = now
	g.changes = progress.ToldRollouts(&g.state, objects, since)
	// A list at one time does not tell when the rollout began.
	g.state.Change, g.state.Before, g.state.GoesOn = nil, 0, nil
	return nil
}

// glancing is the glance of a question, for a watch that ends with its first lists.
type glancing struct {
	glance
	question *question
}

// Begin takes in what there is.
func (g *glancing) Begin(objects []runtime.Object, now time.Time) error {
	f := feeder{app: g.question.app}
	return g.begin(f.newEngine(causality.Options{Settle: glanceSettles}), objects, g.question.since, now)
}

// Observe has seen enough.
func (*glancing) Observe(causality.Observation) bool { return true }

// Tick has seen enough.
func (*glancing) Tick(time.Time, *watcher.Behind) bool { return true }

// answerRollout looks at the Rollout that is asked about, and tells what it finds. Where nothing dates a
// rollout, how it goes now is what the Rollout says itself.
func (q *question) answerRollout(ctx context.Context, tell func(changes []spans.Trace, objects []runtime.Object) error) error {
	config, err := q.config()
	if err != nil {
		return err
	}
	g := &glancing{glance: glance{target: progress.Target{Kind: q.kind, Namespace: q.namespace, Name: q.name}}, question: q}
	err = watcher.Follow(ctx, watcher.FollowOptions{Config: config, Kind: q.kind, Namespace: q.namespace, Name: q.name, Log: q.log}, g)
	if err != nil {
		return advised(err)
	}
	return q.tellRollout(&g.glance, tell)
}

func (q *question) tellRollout(g *glance, tell func(changes []spans.Trace, objects []runtime.Object) error) error {
	if q.format == formatTable {
		fmt.Fprintln(q.Out, terminal.Line("Now: "+g.state.Result()+"."))
	}
	q.say("Of a Rollout a cluster proves its revisions, and the steps that Events tell of; 'rollspan history %s --server URL' asks a rollspan that was there.", q.subject())
	if len(g.changes) == 0 {
		q.say("%s in namespace %s: nothing that is there dates a rollout in the last %s", q.subject(), q.namespace, q.since)
		return q.format.printNone(q.app)
	}
	told, _ := g.changes[len(g.changes)-1].Root().Attribute(attr.RevisionKey)
	if last := progress.RevisionNow(g.target, g.objects); last != "" && told.String() != last {
		q.say("How the rollout of revision %s began, or goes, is not proven; what is told is of those before.", last)
	}
	return tell(g.changes, g.objects)
}
