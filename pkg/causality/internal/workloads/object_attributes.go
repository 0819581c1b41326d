package workloads

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/rollspan/rollspan/pkg/causality/internal/kube"
	"github.com/rollspan/rollspan/pkg/causality/internal/podlife"
	"github.com/rollspan/rollspan/pkg/spans/attr"
)

// AttributesOf name the object; by the semantic conventions' keys for the kinds
// that have them.
func AttributesOf(o *podlife.Object) []attribute.KeyValue {
	var attrs []attribute.KeyValue
	if o.Namespace != "" {
		attrs = append(attrs, semconv.K8SNamespaceName(o.Namespace))
	}
	name, uid, ok := keysOf(o.ObjectID)
	if !ok {
		name, uid = attr.ObjectNameKey, attr.ObjectUIDKey
		attrs = append(attrs, attr.ObjectKindKey.String(o.Kind))
	}
	attrs = append(attrs, name.String(o.Name))
	if !podlife.ByName(o.ObjectID) {
		attrs = append(attrs, uid.String(string(o.UID)))
	}
	return attrs
}

// keysOf are the attributes for the name and the UID of an object.
func keysOf(id kube.ObjectID) (name, uid attribute.Key, ok bool) {
	if k := ControllerOf(id.Kind, id.Group); k != nil && k.nameKey != "" {
		return k.nameKey, k.uidKey, true
	}
	keys, ok := kindKeys[id.Kind]
	return keys[0], keys[1], ok && id.Group == ""
}

// kindKeys are those of the kinds that are no workloads.
var kindKeys = map[string][2]attribute.Key{
	kube.KindCronJob:    {semconv.K8SCronJobNameKey, semconv.K8SCronJobUIDKey},
	kube.KindAutoscaler: {semconv.K8SHPANameKey, semconv.K8SHPAUIDKey},
	kube.KindNode:       {semconv.K8SNodeNameKey, semconv.K8SNodeUIDKey},
	kube.KindClaim:      {semconv.K8SPersistentvolumeclaimNameKey, semconv.K8SPersistentvolumeclaimUIDKey},
}
