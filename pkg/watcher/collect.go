package watcher

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
)

// collectLimit is how many objects of a list are asked for at once.
const collectLimit = 250

// Collect takes into a dump what a namespace has now of all kinds that a live run watches
// there. It returns what traces lose by the kinds that may not be read, or that the API
// server does not have. The error is a *ForbiddenError where that would be too much, or
// says what the API server did not answer.
func Collect(ctx context.Context, config *rest.Config, namespace string, into *Dump) (without []string, err error) {
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, err
	}
	var missing []Permission
	for _, k := range liveKinds {
		if k.clusterScoped {
			continue
		}
		err := collect(ctx, client, k, namespace, into)
		switch refused := apierrors.IsForbidden(err) || apierrors.IsNotFound(err); {
		case err == nil:
		case refused && k.without != "":
			without = append(without, fmt.Sprintf("%s cannot be read: %s", k.resource, k.without))
		case apierrors.IsForbidden(err):
			missing = append(missing, Permission{Group: k.Group, Resource: k.resource, Namespace: namespace, Verbs: []string{"list"}})
		default:
			return nil, fmt.Errorf("list %s in namespace %s: %w", k.resource, namespace, err)
		}
	}
	if len(missing) > 0 {
		return nil, &ForbiddenError{Missing: missing}
	}
	return without, nil
}

// collect takes in all pages of a list. One that has expired meanwhile is asked for anew, at
// once: an object that is there twice counts as it is in the later one.
func collect(ctx context.Context, client rest.Interface, k kind, namespace string, into *Dump) error {
	root := "/apis/" + k.Group
	if k.Group == "" {
		root = "/api"
	}
	limit, after := collectLimit, ""
	for {
		page, err := client.Get().AbsPath(path.Join(root, k.Version, "namespaces", namespace, k.resource)).
			SetHeader("Accept", "application/json").
			Param("limit", strconv.Itoa(limit)).Param("continue", after).
			DoRaw(ctx)
		if apierrors.IsResourceExpired(err) && after != "" {
			limit, after = 0, ""
			continue
		} else if err != nil {
			return err
		}
		into.Add(bytes.NewReader(page), k.resource)
		var list struct{ Metadata metav1.ListMeta }
		if err := json.Unmarshal(page, &list); err != nil {
			return err
		}
		if after = list.Metadata.Continue; after == "" {
			return nil
		}
	}
}
