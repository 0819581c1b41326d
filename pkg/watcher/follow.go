package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/pkg/causality"
)

// FollowOptions say which workload Follow follows.
type FollowOptions struct {
	// Config is how to reach the API server. Required.
	Config *rest.Config
	// Kind is one of those that a live run watches, Namespace and Name are the object's. Required.
	Kind, Namespace, Name string
	// Log is where messages go. Default: slog's default.
	Log *slog.Logger
}

// A Follower is told what is in the namespace of a workload, and what happens there. It is called
// from one goroutine.
type Follower interface {
	// Begin is called once, with the objects that there are. An error ends Follow.
	Begin(objects []runtime.Object, now time.Time) error
	// Observe is called for each observation from then on, and reports whether it was the last.
	Observe(causality.Observation) (last bool)
	// Tick is called every second, and reports whether it was the last time. What happened up
	// to now was observed if behind is nil.
	Tick(now time.Time, behind *Behind) (last bool)
}

// Behind says why not all was observed that has happened.
type Behind struct {
	// Why says what keeps the cluster from being read, as a sentence without its period: "the API
	// server does not answer". It is empty where something is only still to be taken in.
	Why string
	// Since is when that was noticed.
	Since time.Time
}

// MissingError says that an object is not there, and which of its kind are.
type MissingError struct {
	Kind, Namespace, Name string
	// There are the names of the others, of which there may be more.
	There []string
	More  bool
}

// Error names the object, and some of those that there are.
func (e *MissingError) Error() string {
	const most = 10
	there := "none"
	if n := len(e.There); n > 0 {
		there = strings.Join(e.There[:min(n, most)], ", ")
		if n > most || e.More {
			there += " and more"
		}
	}
	return fmt.Sprintf("there is no %s/%s in namespace %s; of the kind %s there is %s (-n names another namespace)",
		strings.ToLower(e.Kind), e.Name, e.Namespace, e.Kind, there)
}

// followed are the kinds that the rollout of a workload can be told from, by the workload's.
var followed = map[string][]kind{
	deploymentKind.Kind:  {deploymentKind, replicaSetKind},
	statefulSetKind.Kind: {statefulSetKind, controllerRevisionKind},
	daemonSetKind.Kind:   {daemonSetKind, controllerRevisionKind},
	jobKind.Kind:         {jobKind},
	rolloutKind.Kind:     {rolloutKind, replicaSetKind},
}

const (
	// beginPoll is how often it is looked whether the first lists are through.
	beginPoll = 20 * time.Millisecond
	// followBytes bounds what the first lists may take, as sizeOf estimates it: what is made of
	// them is some times that.
	followBytes = DefaultMemory / 8
)

// Follow watches what a workload's rollout can be told from, in its namespace alone, until the
// Follower has seen enough or ctx is done. The error is a *MissingError, a *ForbiddenError, the
// Follower's, ctx's cause, or says what the API server answers at first. From then on it is asked
// again for as long as it takes.
func Follow(ctx context.Context, o FollowOptions, f Follower) error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	kinds := followed[o.Kind]
	if kinds == nil {
		return fmt.Errorf("a %s has no rollouts", o.Kind)
	}
	c, err := newCluster(o.Config)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &follow{FollowOptions: o, cluster: c, queue: newQueue(), told: f}
	sources, err := w.sources(append(slices.Clone(kinds), podKind, eventKind, claimKind))
	if err != nil {
		return err
	}
	w.streams = &streams{
		sources: sources,
		trouble: newTrouble(o.Log, c.host), log: o.Log, now: time.Now, metrics: newStreamMetrics(), back: back{every: backEvery}, granted: back{every: backEvery},
		emit: func(seen causality.Observation) error { return w.queue.push(watching, seen) },
		denied: func(s source) {
			stop(&ForbiddenError{Missing: []Permission{s.permission()}})
		},
	}
	if err := w.isThere(ctx, kinds[0]); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.streams.run(watching)
	}()
	err = w.feed(watching)
	stop(err)
	<-ended
	return err
}

// follow is a Follow that goes on.
type follow struct {
	FollowOptions
	cluster *cluster
	streams *streams
	queue   *queue
	told    Follower
	// begun says that Begin was called. Before that, objects are what the first lists have, which
	// takes so many bytes, and early is what happened meanwhile.
	begun   bool
	objects []runtime.Object
	at      map[types.UID]int // where each of objects is
	bytes   int64
	early   []causality.Observation
	// blind is why nothing is seen since it began to be so; the zero value while all is.
	blind Behind
}

// sources are those of a live run that are of some kinds, and custom resources, of which all is
// read. Without the workload's own there is nothing to follow.
func (w *follow) sources(kinds []kind) ([]source, error) {
	chosen := w.cluster.liveSources([]string{w.Namespace})
	chosen = slices.DeleteFunc(chosen, func(s source) bool { return !slices.Contains(kinds, s.kind) })
	for _, k := range kinds {
		if !isCustomWorkload(k.GroupKind()) {
			continue
		}
		config := rest.CopyConfig(w.Config)
		config.Wrap(boundPages)
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, recordSources(client, k, []string{w.Namespace})...)
	}
	for i := range chosen {
		chosen[i].optional = chosen[i].optional && chosen[i].kind.Kind != w.Kind
	}
	return chosen, nil
}

// isThere asks for the workload, and whether what it takes to follow it may be read.
func (w *follow) isThere(ctx context.Context, k kind) error {
	client := w.cluster.metadata.Resource(k.gvr()).Namespace(w.Namespace)
	list, err := client.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector(metav1.ObjectNameField, w.Name).String()})
	if denied := w.cluster.check(ctx, w.streams.sources); isForbiddenError(denied) {
		return denied
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case apierrors.IsForbidden(err):
		return &ForbiddenError{Missing: []Permission{{Group: k.Group, Resource: k.resource, Namespace: w.Namespace, Verbs: watchVerbs}}}
	case apierrors.IsNotFound(err):
		return fmt.Errorf("the API server does not have %s: there is no %s/%s to follow", k.gvr().GroupResource(), strings.ToLower(w.Kind), w.Name)
	case err != nil:
		return fmt.Errorf("list %s in namespace %s: %w", k.resource, w.Namespace, err)
	case len(list.Items) > 0:
		return nil
	}
	missing := &MissingError{Kind: w.Kind, Namespace: w.Namespace, Name: w.Name}
	if all, err := client.List(ctx, metav1.ListOptions{Limit: collectLimit}); err == nil {
		for i := range all.Items {
			missing.There = append(missing.There, all.Items[i].Name)
		}
		missing.More = all.Continue != ""
	}
	return missing
}

// feed tells the Follower what the streams see.
func (w *follow) feed(ctx context.Context) error {
	begin := time.NewTicker(beginPoll)
	defer begin.Stop()
	tick := time.NewTicker(advanceEvery)
	defer tick.Stop()
	for {
		last, err := false, error(nil)
		select {
		case in := <-w.queue.out():
			last, err = w.observe(w.queue.took(in))
		case now := <-begin.C:
			if w.behind() != nil {
				continue
			}
			begin.Stop()
			last, err = w.begin(now)
		case now := <-tick.C:
			last = w.begun && w.told.Tick(now, w.behind())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err != nil || last {
			return err
		}
	}
}

// behind says why something is still to be observed that has happened; nil if nothing is.
func (w *follow) behind() *Behind {
	if !w.streams.blind() {
		w.blind = Behind{}
		if len(w.streams.waitingFor()) > 0 || w.queue.length() > 0 {
			return &Behind{}
		}
		return nil
	}
	// While the streams come back one by one there is no trouble any more that would say why.
	if why, since := w.streams.lost(); why != "" {
		if w.blind.Since.IsZero() {
			w.blind.Since = since
		}
		w.blind.Why = why
	}
	behind := w.blind
	return &behind
}

func (w *follow) observe(o causality.Observation) (last bool, err error) {
	switch {
	case w.begun:
		return w.told.Observe(o), nil
	case !o.Initial:
		w.early = append(w.early, o)
	default:
		w.take(o.Object)
	}
	if w.bytes += sizeOf(o.Object); w.bytes > followBytes {
		return false, errTooMuchToFollow
	}
	return false, nil
}

// take notes an object that a first list has, in the place of a state of it that came before: a
// list that is streamed says what happens until its end, and one that broke off is begun again.
func (w *follow) take(object runtime.Object) {
	m, ok := object.(metav1.Object)
	if !ok {
		return
	}
	if i, known := w.at[m.GetUID()]; known {
		w.objects[i] = object
		return
	}
	if w.at == nil {
		w.at = map[types.UID]int{}
	}
	w.at[m.GetUID()] = len(w.objects)
	w.objects = append(w.objects, object)
}

var errTooMuchToFollow = errors.New("what is in the namespace takes more memory than it may; a rollspan that runs in the cluster reads it bit by bit (rollspan run)")

// begin hands over what the first lists have.
func (w *follow) begin(now time.Time) (last bool, err error) {
	w.begun = true
	if err := w.told.Begin(w.objects, now); err != nil {
		return false, err
	}
	early := w.early
	w.objects, w.at, w.early = nil, nil, nil
	return slices.ContainsFunc(early, w.told.Observe) || w.told.Tick(now, nil), nil
}
