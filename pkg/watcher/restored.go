package watcher

import "fmt"

// RestoredError says that the API server was restored from a backup: what it had since is none any
// more, its versions are counted anew, and of an object that is still there nobody can say which
// of two states is the later one. Kubernetes' own components are to be started again then, too:
// https://kubernetes.io/docs/tasks/administer-cluster/configure-upgrade-etcd/#restoring-an-etcd-cluster
//
// A restore with `--bump-revision` is none of this: its versions go on, and it is like an outage.
type RestoredError struct {
	// Of is what was read, Was the resource version up to which that was seen, and Is where it is now.
	Of, Was, Is string
}

// Error says what to do.
func (e *RestoredError) Error() string {
	return fmt.Sprintf("the API server was restored from a backup: %s were seen up to resource version %s, and are at %s now; "+
		"start rollspan again (in a pod, the kubelet does): it begins anew with what there is", e.Of, e.Was, e.Is)
}
