// Package controlplane starts a real Kubernetes control plane, a real Jaeger and a
// real OpenTelemetry Collector, for tests and demonstrations, on a machine that has
// nothing but Go.
//
// What rollspan says about a rollout is only as true as the order in which the
// real controllers write, so a fake API server proves little. Containers and
// downloaded binaries would prove more, but then the tests run on few machines.
// etcd, kube-apiserver, kube-controller-manager, kube-scheduler, Jaeger and the
// Collector are therefore built from their Go modules, each in a module of its own
// below test/tools, so that their version graphs meet neither rollspan's nor each
// other's. The first build takes several minutes; its result is kept (see
// [Tools]), and later starts take seconds.
//
// Only the node is played, since a kubelet needs containers: package kubelet
// does that, in this process. Everything else is what production runs, with
// RBAC on.
//
//	cluster, err := controlplane.Start(ctx, controlplane.Options{})
//	if err != nil { ... }
//	defer cluster.Stop()
//	client := kubernetes.NewForConfigOrDie(cluster.RESTConfig())
//
// In a test, StartForTest, StartJaegerForTest and StartCollectorForTest also stop
// what they started and show the logs' place if the test fails.
//
// Any number of clusters run beside each other on one machine: ports, files and
// processes are each cluster's own. All servers listen on 127.0.0.1.
package controlplane
