package main

import (
	"context"
	"fmt"
	"os"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/rollspan/rollspan/test/controlplane"
)

// startCluster starts a control plane and writes pods to it. No controller made them,
// and no scheduler or kubelet looks at them: they are told to run, and belong to
// nothing, so that each of them is a workload to rollspan, which is more than a pod.
func startCluster(ctx context.Context, pods int) (*controlplane.ControlPlane, error) {
	cluster, err := controlplane.Start(ctx, controlplane.Options{Progress: os.Stderr})
	if err != nil {
		return nil, err
	}
	if err := writePods(ctx, cluster, pods); err != nil {
		cluster.Stop()
		return nil, err
	}
	return cluster, nil
}

func writePods(ctx context.Context, cluster *controlplane.ControlPlane, n int) error {
	config := cluster.RESTConfig()
	config.QPS, config.Burst = 1000, 1000
	config.ContentType, config.WarningHandler = contentType, rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if _, err := client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "checkout"}}, metav1.CreateOptions{}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range numbers {
				p := pod(i).(*corev1.Pod)
				status := p.Status
				p.ObjectMeta = metav1.ObjectMeta{Namespace: "default", Name: p.Name, Labels: p.Labels, Annotations: p.Annotations}
				p.Spec.SchedulerName, p.Spec.NodeName = "nobody", ""
				created, err := client.CoreV1().Pods("default").Create(ctx, p, metav1.CreateOptions{})
				if err == nil {
					created.Status = status
					_, err = client.CoreV1().Pods("default").UpdateStatus(ctx, created, metav1.UpdateOptions{})
				}
				if err != nil {
					cancel(fmt.Errorf("write pod %d: %w", i, err))
					return
				}
			}
		})
	}
	for i := range n {
		select {
		case numbers <- i:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	return context.Cause(ctx)
}
