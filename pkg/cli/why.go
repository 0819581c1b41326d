package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/rollspan/rollspan/pkg/causality"
	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/internal/terminal"
	"github.com/rollspan/rollspan/pkg/spans"
	"github.com/rollspan/rollspan/pkg/spans/attr"
	"github.com/rollspan/rollspan/pkg/spans/kind"
	"github.com/rollspan/rollspan/pkg/spans/text"
	"github.com/rollspan/rollspan/pkg/watcher"
)

func (a *app) whyCommand() *cobra.Command {
	q := &question{app: a}
	cmd := &cobra.Command{
		Use:   "why [flags] KIND/NAME",
		Short: "Explain the last change of a workload",
		Long: `Explain the last change of a workload from what the cluster still has: what it waited
for, and why it failed. It lists the objects of the namespace and its Events once, and
needs nothing that ran before.

Events are kept for an hour by default. What happened before that is told as far as
the objects prove it, and what they do not prove is not told. Of a Rollout of Argo
Rollouts that is how it goes now, its revisions, and the steps that Events tell of.`,
		Example: `  # What did the last rollout of a Deployment wait for?
  rollspan why deployment/web -n shop

  # A Job that failed
  rollspan why job/migrate

  # For a program
  rollspan why deployment/web -o json`,
		Args: func(_ *cobra.Command, args []string) error { return q.about(args) },
		PreRunE: func(*cobra.Command, []string) error {
			return a.usage(q.validate())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return q.answer(cmd.Context(), q.why) },
	}
	q.addFlags(cmd)
	return cmd
}

func (a *app) historyCommand() *cobra.Command {
	q, from := &question{app: a}, &server{}
	cmd := &cobra.Command{
		Use:   "history [flags] KIND/NAME",
		Short: "List the last changes of a workload, and what they waited for",
		Long: `List the last changes of a workload, as far as the cluster's objects and Events prove
them: when each began, how long it took, how it ended, and what it waited for most. Where
they prove of one only that the next one began, its outcome is not known. Of a Rollout
of Argo Rollouts they prove least.

A rollspan that runs in the cluster knows more: it saw what happened, and has kept it for two
weeks. With --server it is asked instead of the cluster.`,
		Example: `  # The rollouts of a Deployment
  rollspan history deployment/web -n shop

  # As a rollspan knows them that runs in the cluster with a page (--ui-address)
  kubectl port-forward -n rollspan deployment/rollspan 7655
  rollspan history deployment/web -n shop --server http://127.0.0.1:7655`,
		Args: func(_ *cobra.Command, args []string) error { return q.about(args) },
		PreRunE: func(*cobra.Command, []string) error {
			return a.usage(errors.Join(q.validate(), from.validate()))
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if from.Server != "" {
				return q.askServer(cmd.Context(), from)
			}
			return q.answer(cmd.Context(), q.history)
		},
	}
	q.addFlags(cmd)
	from.addFlags(cmd.Flags(), "")
	return cmd
}

// asked is a kind of object that can be asked about, by all names that kubectl has for it.
type asked struct {
	kind  string
	names []string
	key   attribute.Key
}

var askable = []asked{
	{"Deployment", []string{"deployment", "deployments", "deploy", "deployments.apps", "deployment.apps"}, semconv.K8SDeploymentNameKey},
	{"StatefulSet", []string{"statefulset", "statefulsets", "sts", "statefulsets.apps", "statefulset.apps"}, semconv.K8SStatefulSetNameKey},
	{"DaemonSet", []string{"daemonset", "daemonsets", "ds", "daemonsets.apps", "daemonset.apps"}, semconv.K8SDaemonSetNameKey},
	{kindReplicaSet, []string{"replicaset", "replicasets", "rs", "replicasets.apps", "replicaset.apps"}, semconv.K8SReplicaSetNameKey},
	{"ReplicationController", []string{"replicationcontroller", "replicationcontrollers", "rc"}, semconv.K8SReplicationControllerNameKey},
	{"Job", []string{"job", "jobs", "jobs.batch", "job.batch"}, semconv.K8SJobNameKey},
	{"CronJob", []string{"cronjob", "cronjobs", "cj", "cronjobs.batch", "cronjob.batch"}, semconv.K8SCronJobNameKey},
	{kindPod, []string{"pod", "pods", "po"}, semconv.K8SPodNameKey},
	{kindRollout, []string{"rollout", "rollouts", "ro", "rollouts.argoproj.io", "rollout.argoproj.io"}, attr.ObjectNameKey},
}

const (
	kindPod        = "Pod"
	kindReplicaSet = "ReplicaSet"
	kindRollout    = "Rollout" // of Argo Rollouts
)

// question is about one object of a cluster as it is now.
type question struct {
	*app
	asker
	since    time.Duration
	traceURL traceURL
	format   answerFormat

	asked
	name string
}

func (q *question) addFlags(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	q.addNamespaceFlag(fs)
	q.format.addFlag(fs)
	fs.DurationVar(&q.since, "since", 7*24*time.Hour, "how long ago a change may have begun")
	q.traceURL.addFlags(fs)
	q.asker.addFlags(fs)
	q.complete(cmd)
}

// about takes the object from the arguments, which may be as kubectl has them: KIND/NAME,
// or KIND NAME.
func (q *question) about(args []string) (err error) {
	q.asked, q.name, err = parseObject(args)
	return err
}

// parseObject reads KIND/NAME, or KIND NAME as kubectl has it, too.
func parseObject(args []string) (asked, string, error) {
	what, name, ok := strings.Cut(strings.Join(args, "/"), "/")
	if !ok || name == "" || strings.Contains(name, "/") {
		return asked{}, "", errors.New("name one object, as KIND/NAME; for example: deployment/web")
	}
	i := slices.IndexFunc(askable, func(k asked) bool { return slices.Contains(k.names, strings.ToLower(what)) })
	if i < 0 {
		var kinds []string
		for _, k := range askable {
			kinds = append(kinds, k.names[0])
		}
		return asked{}, "", fmt.Errorf("%q is not a kind that can be asked about; there are %s", what, strings.Join(kinds, ", "))
	}
	if why := validation.IsDNS1123Subdomain(name); len(why) > 0 {
		return asked{}, "", fmt.Errorf("%q is not the name of an object: %s", name, why[0])
	}
	return askable[i], name, nil
}

func (q *question) validate() error {
	if q.since <= 0 {
		return fmt.Errorf("--since: %s is not a time to look back; it must be more than 0", q.since)
	}
	if err := q.traceURL.validate(); err != nil {
		return err
	}
	if err := q.format.validate(); err != nil {
		return err
	}
	return q.asker.validate()
}

func (q *question) subject() string { return q.names[0] + "/" + q.name }

// answer looks at the cluster, and tells what it finds.
func (q *question) answer(ctx context.Context, tell func(changes []spans.Trace, objects []runtime.Object) error) error {
	if q.kind == kindRollout {
		return q.answerRollout(ctx, tell)
	}
	config, err := q.config()
	if err != nil {
		return err
	}
	f := feeder{app: q.app, memory: memoryLimit{watcher.DefaultMemory}}
	release := f.memory.hold()
	defer release()
	wrong := complaints{say: q.say}
	now := watcher.NewDump(wrong.add)
	without, err := watcher.Collect(ctx, config, q.namespace, now)
	if err != nil {
		return advised(err)
	}
	for _, what := range without {
		q.say("%s", what)
	}
	if full := now.Full(); full != nil {
		return fmt.Errorf("namespace %s: what is there takes more memory than a dump may: %w", q.namespace, full)
	}
	objects := now.Objects()
	asked := time.Now()
	history := snapshots.Reconstruct(slices.Clone(objects), q.since, asked)
	history.End = asked // what is open has not ended since anything was said of it
	var changes []spans.Trace
	err = f.feed(ctx, history, causality.Options{}, func(_ time.Time, finished []spans.Trace) error {
		for _, t := range finished {
			if q.isAbout(&t) {
				changes = append(changes, t)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("namespace %s: %w", q.namespace, err)
	}
	slices.SortStableFunc(changes, func(a, b spans.Trace) int { return a.Root().Start.Compare(b.Root().Start) })
	switch {
	case len(changes) > 0:
		return tell(changes, objects)
	case !slices.Contains(q.ofKind(objects), q.name):
		return q.unknown(objects)
	default:
		q.say("%s in namespace %s: nothing that is there proves a change in the last %s", q.subject(), q.namespace, q.since)
		return q.format.printNone(q.app)
	}
}

// ofKind are the names of the objects of the kind that is asked about.
func (q *question) ofKind(objects []runtime.Object) []string {
	var names []string
	for _, o := range objects {
		if m, err := meta.Accessor(o); err == nil && o.GetObjectKind().GroupVersionKind().Kind == q.kind {
			names = append(names, m.GetName())
		}
	}
	slices.Sort(names)
	return names
}

// unknown says that there is no such object, and which there are.
func (q *question) unknown(objects []runtime.Object) error {
	const most = 10
	names := q.ofKind(objects)
	there := "none"
	if len(names) > most {
		there = fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	} else if len(names) > 0 {
		there = strings.Join(names, ", ")
	}
	return fmt.Errorf("there is no %s in namespace %s; of the kind %s there is %s (-n names another namespace)", q.subject(), q.namespace, q.kind, there)
}

// isAbout reports whether a trace is a change of the object: its root has the object's name.
func (q *question) isAbout(t *spans.Trace) bool {
	root := t.Root()
	return root != nil && !t.Late && root.Kind != kind.Activity &&
		has(root, q.key, q.name) && has(root, semconv.K8SNamespaceNameKey, q.namespace)
}

func has(s *spans.Span, key attribute.Key, value string) bool {
	v, ok := s.Attribute(key)
	return ok && v.AsString() == value
}

// why tells of the last change.
func (q *question) why(changes []spans.Trace, objects []runtime.Object) error {
	last := changes[len(changes)-1]
	if q.format == formatJSON {
		return q.printJSON(wholeJSON(&last, eventsSince(objects)))
	}
	root := last.Root()
	ended := "and took"
	switch {
	case text.IsOpen(root):
		ended = "and has been open for"
	case !text.EndIsKnown(root):
		ended = "and was over after at most"
	case text.EndsAtMost(root):
		ended = "and took at most"
	}
	fmt.Fprintf(q.Out, "%s in namespace %s: %s, %s, began %s %s %s.\n", q.subject(), q.namespace,
		q.changeOf(root), outcome(root), root.Start.UTC().Format(time.RFC3339), ended, took(root))
	for _, sentence := range text.Why(&last) {
		fmt.Fprintln(q.Out, terminal.Line(sentence))
	}
	if q.paused(objects) {
		fmt.Fprintf(q.Out, "It is paused: what is written to its template waits for 'kubectl rollout resume %s -n %s'.\n", q.subject(), q.namespace)
	}
	fmt.Fprintln(q.Out)
	out := bufio.NewWriter(q.Out)
	if err := (treeOutput{out, q.traceURL.template}).Deliver(last); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	q.reach(objects)
	return nil
}

// outcome is how a change ended, as far as that is known.
func outcome(root *spans.Span) string {
	if !text.EndIsKnown(root) {
		return "not known"
	}
	return text.Outcome(root)
}

// paused reports whether the object is a Deployment that does not roll out what it is to be.
func (q *question) paused(objects []runtime.Object) bool {
	return slices.ContainsFunc(objects, func(o runtime.Object) bool {
		d, ok := o.(*appsv1.Deployment)
		return ok && q.kind == "Deployment" && d.Name == q.name && d.Spec.Paused
	})
}

// changeOf names a change, with what has changed where that is not what was asked about: "restart
// of pod/web-0 container/web".
func (q *question) changeOf(root *spans.Span) string {
	change := text.Change(root)
	if attr.Change(change) == attr.ChangeJob {
		change = string(attr.ChangeRun)
	}
	if root.Subject != strings.ToLower(q.kind)+"/"+q.name {
		change += " of " + root.Subject
	}
	return change
}

// historyColumns head a list of changes.
const historyColumns = "BEGAN\tTOOK\tCHANGE\tOUTCOME\tWAITED MOST FOR"

// table prints lines whose cells, which tabs divide, are below each other when it is flushed.
func (a *app) table() *tabwriter.Writer { return tabwriter.NewWriter(a.Out, 0, 0, 3, ' ', 0) }

// history lists the changes.
func (q *question) history(changes []spans.Trace, objects []runtime.Object) error {
	if q.format == formatJSON {
		return q.printJSON(listJSON(changes, eventsSince(objects)))
	}
	w := q.table()
	columns := historyColumns
	if q.traceURL.template.Set() {
		columns += "\tTRACE"
	}
	fmt.Fprintln(w, columns)
	unknown := false
	for _, c := range changes {
		root := c.Root()
		most, long := "-", took(root)
		if text.EndsAtMost(root) {
			long = "at most " + long
		}
		switch phases, on := text.Phases(root), text.GoingOnAndWhy(&c); {
		case !text.EndIsKnown(root):
			unknown = true
		case len(phases) > 0:
			most = phases[0].String()
		case text.IsOpen(root) && len(on) > 0:
			most = "now: " + terminal.Line(on[0])
		case text.IsOpen(root) && q.kind == kindRollout && root.Message == "" && root.Text(attr.WaitingForKey) != "":
			most = "now: it waits for " + terminal.Line(root.Text(attr.WaitingForKey))
		}
		if why := root.Message; why != "" {
			most += "; " + terminal.Line(why)
		}
		if url := q.traceURL.template.Of(root); url != "" {
			most += "\t" + url
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", root.Start.UTC().Format(time.RFC3339), long, text.Change(root), outcome(root), most)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if unknown {
		q.say("Where the outcome is not known, the cluster proves only that the next one began: it may have been complete, have failed, or have been superseded.")
	}
	q.reach(objects)
	return nil
}

// reach says how far back the Events go.
func (q *question) reach(objects []runtime.Object) {
	first := eventsSince(objects)
	if first.IsZero() { // there are none, or they may not be read
		q.say("Without Events of the namespace, times are those that the objects state.")
		return
	}
	q.say("The Events of the namespace reach back to %s; times before that are those that the objects state.", first.UTC().Format(time.RFC3339))
}

// eventsSince is how far back the Events go; zero without any. An Event is kept for a while from
// when it happened last: what happened only before that may be gone, though one that repeats
// states an earlier first time.
func eventsSince(objects []runtime.Object) (since time.Time) {
	for _, o := range objects {
		ev, ok := o.(*corev1.Event)
		if !ok {
			continue
		}
		var series time.Time
		if ev.Series != nil {
			series = ev.Series.LastObservedTime.Time
		}
		last := cmp.Or(series, ev.LastTimestamp.Time, ev.EventTime.Time, ev.FirstTimestamp.Time, ev.CreationTimestamp.Time)
		if !last.IsZero() && (since.IsZero() || last.Before(since)) {
			since = last
		}
	}
	return since
}

// took is how long a change took, or has taken until now.
func took(root *spans.Span) string {
	if text.IsOpen(root) {
		return time.Since(root.Start).Round(time.Second).String()
	}
	return root.End.Sub(root.Start).Round(time.Millisecond).String()
}
