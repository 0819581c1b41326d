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
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/kubernetes/scheme"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
)

// cluster is the API server, with the clients that are needed of it.
type cluster struct {
	host string
	core coreclient.CoreV1Interface
	auth authorizationclient.SelfSubjectAccessReviewInterface
	// typed are the clients that decode what liveKinds are made of.
	typed map[schema.GroupVersion]rest.Interface
	// metadata and lookup are for kinds that are not known beforehand.
	metadata metadata.Interface
	lookup   lookup
}

func newCluster(config *rest.Config) (*cluster, error) {
	config = rest.CopyConfig(config)
	config.Wrap(boundPages)
	if config.RateLimiter == nil && config.QPS > 0 {
		// One for all clients, or each would have a limit of its own.
		config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst)
	}
	// One HTTP client: the kinds share a connection.
	http, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	discover, err := discovery.NewDiscoveryClientForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}

	// Protobuf is a third of the work of JSON for server and client.
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	core, err := coreclient.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	auth, err := authorizationclient.NewForConfigAndClient(config, http)
	if err != nil {
		return nil, err
	}
	typed := map[schema.GroupVersion]rest.Interface{}
	for _, k := range liveKinds {
		gv := k.GroupVersion()
		if typed[gv] != nil {
			continue
		}
		of := rest.CopyConfig(config)
		of.GroupVersion, of.APIPath = &gv, "/apis"
		if gv.Group == "" {
			of.APIPath = "/api"
		}
		of.NegotiatedSerializer = cutting{scheme.Codecs.WithoutConversion()}
		if typed[gv], err = rest.RESTClientForConfigAndClient(of, http); err != nil {
			return nil, err
		}
	}
	return &cluster{
		host: config.Host, core: core, auth: auth.SelfSubjectAccessReviews(),
		typed: typed, metadata: partial, lookup: lookup{discover},
	}, nil
}

// liveSources are the sources of a live run that are known beforehand.
func (c *cluster) liveSources(namespaces []string) []source {
	var sources []source
	for _, k := range liveKinds {
		level := slog.LevelWarn
		if k.clusterScoped && len(namespaces) > 0 {
			level = slog.LevelInfo // a role for a namespace is enough, but for this
		}
		client := c.typed[k.GroupVersion()]
		for _, ns := range k.in(namespaces) {
			sources = append(sources, source{
				kind: k, namespace: ns, optional: k.without != "", level: level,
				client: cache.ToListWatcherWithWatchListSemantics(
					cache.NewListWatchFromClient(client, k.resource, ns, fields.Everything()), client),
			})
		}
	}
	return sources
}

// rolesWithin is how long an API server that begins may refuse everything, as it does not know the roles
// yet. Where nobody may ask it for permissions there is no telling that from a refusal.
const rolesWithin = 30 * time.Second

// uid waits until the API server answers and returns the cluster's UID, which
// is the UID of the namespace kube-system; or "" if that may not be read. The
// error is ctx's.
func (c *cluster) uid(ctx context.Context, t *trouble, log *slog.Logger) (string, error) {
	backoff := wait.Backoff{Duration: time.Second, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 30 * time.Second}
	var refused time.Time // since when it is
	for {
		ns, err := c.core.Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
		switch {
		case err == nil:
			t.worked("namespaces")
			return string(ns.UID), nil
		case apierrors.IsForbidden(err) && !c.isDenied(ctx, uidPermission) && (refused.IsZero() || time.Since(refused) < rolesWithin):
			t.answered()
			log.Debug("the namespace kube-system cannot be read yet", "error", err)
			if refused.IsZero() {
				refused = time.Now()
			}
		case apierrors.IsForbidden(err), apierrors.IsNotFound(err):
			t.worked("namespaces")
			log.Info("the spans carry no k8s.cluster.uid: the namespace kube-system cannot be read", "error", err)
			return "", nil
		default:
			refused = time.Time{} // what comes behind an outage may begin, too
			t.failed(slog.LevelWarn, "namespaces", err, "")
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(backoff.Step()):
		}
	}
}

// isDenied reports whether the API server says that it does not grant a permission. One that does not
// know the roles yet does not say anything.
func (c *cluster) isDenied(ctx context.Context, p Permission) bool {
	missing, err := lacking(ctx, c.auth, []Permission{p})
	return err == nil && len(missing) > 0
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
