package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/rollspan/rollspan/pkg/causality/snapshots"
	"github.com/rollspan/rollspan/pkg/watcher"
)

// snapshot is what all dumps of a command line are together.
type snapshot struct {
	*replay
	dump  *watcher.Dump
	names []string
}

func newSnapshot(r *replay) *snapshot {
	wrong := complaints{say: r.say}
	dump := watcher.NewDump(func(err error) { wrong.add(hinted(err)) })
	dump.LimitMemory(r.memory.most)
	return &snapshot{replay: r, dump: dump}
}

func (s *snapshot) stats() watcher.DumpStats { return s.dump.Stats() }

func (s *snapshot) add(ctx context.Context, in io.Reader, name string) error {
	s.names = append(s.names, name)
	s.dump.Add(in, name)
	return s.interrupted(ctx, ctx.Err())
}

func (s *snapshot) addFolder(ctx context.Context, name string) error {
	s.names = append(s.names, name)
	if err := s.dump.AddPath(ctx, name); err != nil {
		return s.interrupted(ctx, fmt.Errorf("dump %s: %w", name, err))
	}
	return nil
}

// interrupted says what was read, if that is where it ended. The past of half a
// snapshot is not told: what is missing would seem not to have been there.
func (s *snapshot) interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		s.tellCounts(s.dump.Objects())
	}
	return err
}

// tellCounts says what the dumps hold.
func (s *snapshot) tellCounts(objects []runtime.Object) {
	label, stats := strings.Join(s.names, ", "), s.stats()
	s.say("%s: %s in %s, %s passed over, %s",
		label, orNone(watcher.CountKinds(objects)), counted(stats.Files, "file"), counted(stats.PassedOver, "file"), counted(stats.Broken, "broken object"))
	if stats.WithoutUID > 0 {
		s.say("%s: %s without metadata.uid left out: a manifest, or cleaned, tells no past; give what kubectl get -o yaml prints", label, counted(stats.WithoutUID, "object"))
	}
	if stats.Recordings > 0 {
		s.say("%s: %d of the files passed over are recordings; to replay one, name it", label, stats.Recordings)
	}
	if stats.Archives > 0 {
		s.say("%s: %d of the files passed over are archives in archives, or packed too often; to read one, unpack it first", label, stats.Archives)
	}
}

// tellFull says where the memory was used up, if it was.
func (s *snapshot) tellFull() {
	if full := s.dump.Full(); full != nil {
		s.say("%v", hinted(full))
		s.cut = append(s.cut, fmt.Sprintf("%q (from item %d on)", full.File, full.Item))
	}
}

// tellPast tells the past of the snapshot, if there is one.
func (s *snapshot) tellPast(ctx context.Context) error {
	if len(s.names) == 0 {
		return nil
	}
	label, objects := strings.Join(s.names, ", "), s.dump.Objects()
	s.tellFull()
	s.tellCounts(objects)
	if len(objects) == 0 {
		return errors.New("the dump holds no objects of a cluster: empty lists, logs, and manifests that were never applied (without metadata.uid) are none; " +
			"'rollspan replay --help' shows how to collect some")
	}
	if uids := clusters(objects); len(uids) > 1 {
		return fmt.Errorf("%s: these are dumps of %d clusters (the namespace kube-system has the UIDs %s); replay those of one cluster at a time", label, len(uids), strings.Join(uids, ", "))
	}
	if lacks := lacking(objects); lacks != "" {
		s.say("%s: there are %s; rollspan replay --help shows how to collect them", label, lacks)
	}
	history, ok := within(s.memory, func() snapshots.History { return snapshots.Reconstruct(objects, s.since, time.Now()) })
	if !ok {
		return s.tooMuch(label, errTooMuch)
	}
	to := s.newOutput(ctx)
	for _, o := range objects {
		to.notice(o)
	}
	s.dump.Release()
	clear(objects)
	err := errors.Join(s.tooMuch(label, s.feed(ctx, history, s.conversion.engine, to.deliver)), to.close())
	s.say("snapshot of %s: %s%s", history.End.UTC().Format(time.RFC3339), counted(to.changes, "change"), s.notTold(history))
	return err
}

// notTold says which rollouts are known of and left out, "" if there are none.
func (s *snapshot) notTold(h snapshots.History) string {
	var parts []string
	if h.Earlier > 0 {
		parts = append(parts, fmt.Sprintf("%s from more than %s before (--since)", counted(h.Earlier, "rollout"), s.since))
	}
	if h.Undated > 0 {
		parts = append(parts, counted(h.Undated, "rollout")+" that nothing dates")
	}
	if h.Cleaned > 0 {
		parts = append(parts, counted(h.Cleaned, "object")+" without metadata.creationTimestamp, which something has cleaned")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; not told: " + strings.Join(parts, ", ")
}

// clusters are the UIDs of the namespaces kube-system that there are: a cluster has one.
func clusters(objects []runtime.Object) (uids []string) {
	for _, o := range objects {
		if meta, ok := o.(metav1.Object); ok && meta.GetName() == metav1.NamespaceSystem && o.GetObjectKind().GroupVersionKind().Kind == "Namespace" {
			uids = append(uids, string(meta.GetUID()))
		}
	}
	return uids
}

// lacking says what a dump tells little without, "" if it has all of that.
func lacking(objects []runtime.Object) string {
	there := map[string]bool{}
	for _, o := range objects {
		there[o.GetObjectKind().GroupVersionKind().Kind] = true
	}
	var parts []string
	for _, k := range []struct {
		kind, why string
		needed    bool
	}{
		{"ReplicaSet", "which prove the rollouts of Deployments", there["Deployment"]},
		{"ControllerRevision", "which prove those of StatefulSets and DaemonSets", there["StatefulSet"] || there["DaemonSet"]},
		{"Pod", "which show what rollouts waited for", there["Deployment"] || there["StatefulSet"] || there["DaemonSet"]},
		{"Event", "which date most of what happened", true},
	} {
		if k.needed && !there[k.kind] {
			parts = append(parts, fmt.Sprintf("no %ss, %s", k.kind, k.why))
		}
	}
	return strings.Join(parts, "; ")
}

func orNone(s string) string {
	if s == "" {
		return "no objects"
	}
	return s
}
