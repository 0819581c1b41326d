package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

func (s *space) statefulSet(a app) *appsv1.StatefulSet {
	s.t.Helper()
	replicas := cmp.Or(a.replicas, 1)
	out, err := s.client.AppsV1().StatefulSets(s.name).Create(s.t.Context(), &appsv1.StatefulSet{
		ObjectMeta: a.meta(),
		Spec:       appsv1.StatefulSetSpec{Replicas: &replicas, Selector: appSelector, Template: s.template(a)},
	}, asCreator)
	return created(s, out, err)
}

func (s *space) daemonSet(a app) *appsv1.DaemonSet {
	s.t.Helper()
	out, err := s.client.AppsV1().DaemonSets(s.name).Create(s.t.Context(), &appsv1.DaemonSet{
		ObjectMeta: a.meta(),
		Spec:       appsv1.DaemonSetSpec{Selector: appSelector, Template: s.template(a)},
	}, asCreator)
	return created(s, out, err)
}

func (s *space) replicaSet(a app) *appsv1.ReplicaSet {
	s.t.Helper()
	replicas := cmp.Or(a.replicas, 1)
	out, err := s.client.AppsV1().ReplicaSets(s.name).Create(s.t.Context(), &appsv1.ReplicaSet{
		ObjectMeta: a.meta(),
		Spec:       appsv1.ReplicaSetSpec{Replicas: &replicas, Selector: appSelector, Template: s.template(a)},
	}, asCreator)
	return created(s, out, err)
}

func (s *space) replicationController(a app) *corev1.ReplicationController {
	s.t.Helper()
	replicas, template := cmp.Or(a.replicas, 1), s.template(a)
	out, err := s.client.CoreV1().ReplicationControllers(s.name).Create(s.t.Context(), &corev1.ReplicationController{
		ObjectMeta: a.meta(),
		Spec:       corev1.ReplicationControllerSpec{Replicas: &replicas, Selector: appLabels, Template: &template},
	}, asCreator)
	return created(s, out, err)
}

// job makes a Job; adjust, if it is not nil, says what is special about it.
func (s *space) job(a app, adjust func(*batchv1.JobSpec)) *batchv1.Job {
	s.t.Helper()
	a.policy = cmp.Or(a.policy, corev1.RestartPolicyNever)
	spec := batchv1.JobSpec{Template: s.template(a)}
	if adjust != nil {
		adjust(&spec)
	}
	out, err := s.client.BatchV1().Jobs(s.name).Create(s.t.Context(), &batchv1.Job{ObjectMeta: a.meta(), Spec: spec}, asCreator)
	return created(s, out, err)
}

// pod makes a pod that nothing owns.
func (s *space) pod(name string, a app) {
	s.t.Helper()
	template := s.template(a)
	template.Name = name
	out, err := s.client.CoreV1().Pods(s.name).Create(s.t.Context(), &corev1.Pod{ObjectMeta: template.ObjectMeta, Spec: template.Spec}, asCreator)
	created(s, out, err)
}

// rolledOut waits as users do.
func (s *space) rolledOut(kind string) {
	s.t.Helper()
	s.kubectlRun("rollout", "status", kind+"/"+appName, fmt.Sprintf("--timeout=%s", patience))
}

// setImage gives any kind of workload the image with another tag.
func (s *space) setImage(kind, tag string) {
	s.t.Helper()
	s.kubectlRun("set", "image", kind+"/"+appName, container+"="+s.image(tag))
}

// waits waits until an object's fields are so, as kubectl wait knows them:
// condition=Ready, jsonpath={.status.readyReplicas}=2.
func (s *space) waits(object, until string) {
	s.t.Helper()
	s.kubectlRun("wait", object, "--for="+until, fmt.Sprintf("--timeout=%s", patience))
}

// A podLife is what the API server said of a pod.
type podLife struct {
	last corev1.Pod
	gone bool
}

// watchPods remembers every pod of the namespace, for podsExplained. An informer, as a
// single watch may be ended at any time by an API server that is busy.
func (s *space) watchPods() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(s.t.Context()))
	s.t.Cleanup(cancel)
	pods := informers.NewSharedInformerFactoryWithOptions(s.client, 0, informers.WithNamespace(s.name)).Core().V1().Pods().Informer()
	keep := func(object any, gone bool) {
		if missed, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = missed.Obj
		}
		pod := object.(*corev1.Pod)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.lives[string(pod.UID)] = podLife{last: *pod, gone: gone}
	}
	if _, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { keep(object, false) },
		UpdateFunc: func(old, object any) {
			if old.(*corev1.Pod).UID != object.(*corev1.Pod).UID {
				keep(old, true) // another has its name
			}
			keep(object, false)
		},
		DeleteFunc: func(object any) { keep(object, true) },
	}); err != nil {
		s.t.Fatal(err)
	}
	go pods.RunWithContext(ctx)
	s.eventually("the pods are watched", func() error {
		if !pods.HasSynced() {
			return errors.New("they are not listed")
		}
		return nil
	})
}

// podsExplained waits until the traces tell of each pod that there was: of its
// start, or its whole run, once, and of its end once, unless that was part of
// its run.
func (s *space) podsExplained() {
	s.t.Helper()
	s.eventually("every pod is explained once", func() error {
		traces, err := s.traces("")
		if err != nil {
			return err
		}
		begun, ended := map[string]int{}, map[string]int{}
		for _, t := range traces {
			for _, sp := range t.Spans {
				uid := fmt.Sprint(sp.Resource["k8s.pod.uid"])
				switch sp.Name {
				case "Pod start", "Pod run":
					begun[uid]++
				case "Pod stop":
					ended[uid]++
				}
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var wrong []string
		for uid, life := range s.lives {
			ends := 0
			// What its kubelet ended has ended, though it is still there.
			evicted := life.last.Status.Phase == corev1.PodFailed && life.last.Spec.RestartPolicy == corev1.RestartPolicyAlways
			if life.gone || evicted {
				ends = 1
			}
			// The run of one that is to end tells how it did; that it is
			// removed then is no news.
			told := ended[uid] == ends || ended[uid] < ends && life.last.Spec.RestartPolicy != corev1.RestartPolicyAlways
			if begun[uid] != 1 || !told {
				wrong = append(wrong, fmt.Sprintf("%s %s: begun %d times, ended %d times, want %d", life.last.Name, uid, begun[uid], ended[uid], ends))
			}
		}
		if len(s.lives) == 0 {
			wrong = append(wrong, "there was no pod at all")
		}
		if len(wrong) > 0 {
			slices.Sort(wrong)
			return fmt.Errorf("%s", strings.Join(wrong, "\n"))
		}
		return nil
	})
}
