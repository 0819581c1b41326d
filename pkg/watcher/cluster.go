package watcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/wait"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// cluster is the API server, with the clients that are needed of it.
type cluster struct {
	host string
	core coreclient.CoreV1Interface
	apps appsclient.AppsV1Interface
	auth authorizationclient.SelfSubjectAccessReviewInterface
}

func newCluster(config *rest.Config) (*cluster, error) {
	// One HTTP client: the kinds share a connection. Protobuf is a third of
	// the work of JSON for server and client.
	config = rest.CopyConfig(config)
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	core, err := coreclient.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	apps, err := appsclient.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	auth, err := authorizationclient.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	return &cluster{host: config.Host, core: core, apps: apps, auth: auth.SelfSubjectAccessReviews()}, nil
}

// liveSources are the sources of a live run.
func (c *cluster) liveSources(namespaces []string) []source {
	var sources []source
	for _, k := range liveKinds {
		client := c.core.RESTClient()
		if k.Group == "apps" {
			client = c.apps.RESTClient()
		}
		for _, ns := range orAll(namespaces) {
			sources = append(sources, source{
				kind: k, namespace: ns, optional: k.isEvent(),
				client: cache.NewListWatchFromClient(client, k.resource, ns, fields.Everything()),
			})
		}
	}
	return sources
}

// orAll returns the namespaces, or the one that means all of them.
func orAll(namespaces []string) []string {
	if len(namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return namespaces
}

// uid waits until the API server answers and returns the cluster's UID, which
// is the UID of the namespace kube-system; or "" if that may not be read. The
// error is ctx's.
func (c *cluster) uid(ctx context.Context, t *trouble, log *slog.Logger) (string, error) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	for {
		ns, err := c.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		switch {
		case err == nil:
			t.worked("namespaces")
			return string(ns.UID), nil
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
			t.worked("namespaces")
			log.Info("the spans carry no k8s.cluster.uid: the namespace kube-system cannot be read", "error", err)
			return "", nil
		}
		t.failed("namespaces", err, "")
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(backoff.Step()):
		}
	}
}

// check returns a ForbiddenError if the API server says that sources which are
// not optional may not be read. Where it cannot be asked, the sources' own
// lists will tell.
func (c *cluster) check(ctx context.Context, sources []source) error {
	var wanted []Permission
	for _, s := range sources {
		if !s.optional {
			wanted = append(wanted, s.permission())
		}
	}
	missing, err := lacking(ctx, c.auth, wanted)
	if err != nil {
		return fmt.Errorf("ask the API server for rollspan's permissions: %w", err)
	}
	if len(missing) > 0 {
		return &ForbiddenError{Missing: missing}
	}
	return nil
}

func isForbiddenError(err error) bool {
	var f *ForbiddenError
	return errors.As(err, &f)
}
