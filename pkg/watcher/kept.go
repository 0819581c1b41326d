package watcher

import (
	"strings"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/rollspan/rollspan/pkg/causality"
)

// What a recording holds only if it is asked for.
const (
	keepArgs                = "args"
	keepCommands            = "commands"
	keepHeaders             = "headers"
	keepAnnotations         = "annotations"
	keepVolumeAttributes    = "volume-attributes"
	keepTerminationMessages = "termination-messages"
)

// keptAnnotations are those whose values the engine reads, or Kubernetes' own
// controllers write to say what time or number something has.
var keptAnnotations = append(causality.DefaultTraceContextKeys(),
	"deployment.kubernetes.io/revision", "deployment.kubernetes.io/revision-history",
	"deployment.kubernetes.io/desired-replicas", "deployment.kubernetes.io/max-replicas",
	"rollout.argoproj.io/revision", "rollout.argoproj.io/revision-history", "rollout.argoproj.io/desired-replicas",
	"scale-down-deadline",
	"deprecated.daemonset.template.generation",
	"kubectl.kubernetes.io/restartedAt",
	batchv1.CronJobScheduledTimestampAnnotation, "cronjob.kubernetes.io/instantiate",
	batchv1.JobCompletionIndexAnnotation, batchv1.JobIndexFailureCountAnnotation,
	"resource.opentelemetry.io/service.name", "resource.opentelemetry.io/service.namespace", "resource.opentelemetry.io/service.version",
	corev1.MirrorPodAnnotationKey, "kubernetes.io/config.hash", "kubernetes.io/config.seen", "kubernetes.io/config.source",
)

// keptListKeys are fields that tell elements of lists apart and are names or
// numbers.
var keptListKeys = []string{"name", "type", "uid", "protocol", "resourceName", "topologyKey", "whenUnsatisfiable"}

// keptFields is all that a recording holds, by kind: the names of fields from the
// object down, with a dot between; lists are passed through. The last one is kept
// if it is text, quantities too. * is every key of a map, @x are the
// fields that x lists, and ?x is kept only if it is asked for.
//
// What the engine begins to read must be here, and so must be quantities, which are
// no text for who decodes them. Nothing else needs to be: what may hold an address,
// a path or a credential should not. testdata/recorded.txt lists what of
// which type of the API comes through.
var keptFields = map[string]string{
	"object": `apiVersion kind metadata.@metadata`,
	"metadata": `name generateName namespace uid resourceVersion
		labels.* annotations.@annotations finalizers ownerReferences.@owner
		managedFields.manager managedFields.operation managedFields.apiVersion
		managedFields.fieldsType managedFields.fieldsV1.@ownedFields managedFields.subresource`,
	"owner":     `apiVersion kind name uid`,
	"reference": `apiVersion kind namespace name uid resourceVersion fieldPath`,
	"condition": `type status reason message`,
	"selector":  `matchLabels.* matchExpressions.key matchExpressions.operator matchExpressions.values`,
	"resources": `requests.* limits.*`,

	"Event": `@object involvedObject.@reference related.@reference reason message type action
		source.component source.host reportingComponent reportingInstance`,
	"Namespace": `@object spec.finalizers status.phase status.conditions.@condition`,
	"Node": `@object spec.taints.key spec.taints.value spec.taints.effect
		status.phase status.conditions.@condition status.capacity.* status.allocatable.* status.images.names
		status.nodeInfo.bootID status.nodeInfo.kernelVersion status.nodeInfo.osImage status.nodeInfo.containerRuntimeVersion
		status.nodeInfo.kubeletVersion status.nodeInfo.kubeProxyVersion status.nodeInfo.operatingSystem status.nodeInfo.architecture`,

	"PersistentVolumeClaim": `@object @claim status.phase status.accessModes status.capacity.* status.allocatedResources.*
		status.allocatedResourceStatuses.* status.conditions.@condition status.currentVolumeAttributesClassName
		status.modifyVolumeStatus.status status.modifyVolumeStatus.targetVolumeAttributesClassName`,
	"claim": `metadata.@metadata spec.accessModes spec.volumeMode spec.volumeName spec.storageClassName
		spec.volumeAttributesClassName spec.resources.@resources spec.selector.@selector
		spec.dataSource.apiGroup spec.dataSource.kind spec.dataSource.name
		spec.dataSourceRef.apiGroup spec.dataSourceRef.kind spec.dataSourceRef.name spec.dataSourceRef.namespace`,

	"Deployment": `@object spec.selector.@selector spec.template.@template spec.strategy.@strategy status.conditions.@condition`,
	"ReplicaSet": `@object spec.selector.@selector spec.template.@template status.conditions.@condition`,
	"StatefulSet": `@object spec.selector.@selector spec.template.@template spec.updateStrategy.type
		spec.updateStrategy.rollingUpdate.maxUnavailable spec.serviceName
		spec.podManagementPolicy spec.volumeClaimTemplates.apiVersion spec.volumeClaimTemplates.kind
		spec.volumeClaimTemplates.@claim spec.volumeClaimTemplates.status.phase
		spec.volumeClaimTemplates.status.capacity.* spec.volumeClaimTemplates.status.allocatedResources.*
		spec.volumeClaimTemplates.status.conditions.@condition
		spec.persistentVolumeClaimRetentionPolicy.whenDeleted spec.persistentVolumeClaimRetentionPolicy.whenScaled
		status.conditions.@condition status.currentRevision status.updateRevision`,
	"DaemonSet": `@object spec.selector.@selector spec.template.@template spec.updateStrategy.@strategy status.conditions.@condition`,
	"strategy":  `type rollingUpdate.maxUnavailable rollingUpdate.maxSurge`,

	"ReplicationController": `@object spec.selector.* spec.template.@template status.conditions.@condition`,
	"ControllerRevision":    `@object`,
	"CronJob": `@object spec.schedule spec.timeZone spec.concurrencyPolicy spec.jobTemplate.metadata.@metadata
		spec.jobTemplate.@job status.active.@reference`,
	"Job": `@object @job status.conditions.@condition status.completedIndexes
		status.failedIndexes status.uncountedTerminatedPods.succeeded status.uncountedTerminatedPods.failed`,
	"job": `spec.selector.@selector spec.template.@template spec.completionMode spec.podReplacementPolicy spec.managedBy
		spec.podFailurePolicy.rules.action spec.podFailurePolicy.rules.onExitCodes.containerName
		spec.podFailurePolicy.rules.onExitCodes.operator spec.podFailurePolicy.rules.onPodConditions.type
		spec.podFailurePolicy.rules.onPodConditions.status spec.successPolicy.rules.succeededIndexes`,

	"HorizontalPodAutoscaler": `@object spec.scaleTargetRef.@target spec.metrics.@metricSpec spec.behavior.scaleUp.@scaling
		spec.behavior.scaleDown.@scaling status.conditions.@condition status.currentMetrics.@metricStatus`,
	"target":  `apiVersion kind name`,
	"scaling": `selectPolicy policies.type tolerance`,
	"metricSpec": `type resource.name resource.@wanted containerResource.name containerResource.container
		containerResource.@wanted pods.metric.@metric pods.@wanted object.describedObject.@target
		object.metric.@metric object.@wanted external.metric.@metric external.@wanted`,
	"metricStatus": `type resource.name resource.@measured containerResource.name containerResource.container
		containerResource.@measured pods.metric.@metric pods.@measured object.describedObject.@target
		object.metric.@metric object.@measured external.metric.@metric external.@measured`,
	"metric":   `name selector.@selector`,
	"wanted":   `target.type target.value target.averageValue`,
	"measured": `current.value current.averageValue`,

	"template": `metadata.@metadata spec.@pod`,
	"Pod": `@object spec.@pod status.phase status.reason status.message status.qosClass
		status.nominatedNodeName status.resize status.conditions.@condition
		status.initContainerStatuses.@containerStatus status.containerStatuses.@containerStatus
		status.ephemeralContainerStatuses.@containerStatus status.resourceClaimStatuses.name
		status.resourceClaimStatuses.resourceClaimName status.resources.@resources status.allocatedResources.*
		status.extendedResourceClaimStatus.resourceClaimName
		status.nodeAllocatableResourceClaimStatuses.resourceClaimName status.nodeAllocatableResourceClaimStatuses.containers
		status.nodeAllocatableResourceClaimStatuses.mapping.name status.nodeAllocatableResourceClaimStatuses.mapping.quantity
		status.nodeAllocatableResourceClaimStatuses.overhead.name status.nodeAllocatableResourceClaimStatuses.overhead.perContainer
		status.nodeAllocatableResourceClaimStatuses.overhead.perPod`,
	"containerStatus": `name image imageID containerID state.@state lastState.@state resources.@resources
		allocatedResources.* allocatedResourcesStatus.name volumeMounts.name volumeMounts.recursiveReadOnly stopSignal`,
	"state": `waiting.reason waiting.message terminated.reason terminated.containerID terminated.message?termination-messages`,

	"pod": `nodeName hostname subdomain restartPolicy dnsPolicy schedulerName serviceAccountName serviceAccount priorityClassName
		preemptionPolicy runtimeClassName os.name nodeSelector.* readinessGates.conditionType schedulingGates.name
		imagePullSecrets.name overhead.* resources.@resources resourceClaims.name resourceClaims.resourceClaimName
		resourceClaims.resourceClaimTemplateName dnsConfig.options.name securityContext.sysctls.name
		securityContext.fsGroupChangePolicy securityContext.seccompProfile.type
		tolerations.key tolerations.operator tolerations.value tolerations.effect
		topologySpreadConstraints.topologyKey topologySpreadConstraints.whenUnsatisfiable
		topologySpreadConstraints.labelSelector.@selector topologySpreadConstraints.nodeAffinityPolicy
		topologySpreadConstraints.nodeTaintsPolicy topologySpreadConstraints.matchLabelKeys
		affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms.@nodeTerm
		affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution.preference.@nodeTerm
		affinity.podAffinity.@podTerms affinity.podAntiAffinity.@podTerms
		initContainers.@container containers.@container ephemeralContainers.@container ephemeralContainers.targetContainerName
		volumes.@volume`,
	"nodeTerm": `matchExpressions.key matchExpressions.operator matchExpressions.values
		matchFields.key matchFields.operator matchFields.values`,
	"podTerms": `requiredDuringSchedulingIgnoredDuringExecution.@podTerm
		preferredDuringSchedulingIgnoredDuringExecution.podAffinityTerm.@podTerm`,
	"podTerm": `topologyKey namespaces labelSelector.@selector namespaceSelector.@selector matchLabelKeys mismatchLabelKeys`,

	"container": `name image imagePullPolicy restartPolicy terminationMessagePolicy args?args command?commands
		restartPolicyRules.action restartPolicyRules.exitCodes.operator
		resources.@resources resources.claims.name resources.claims.request resizePolicy.resourceName resizePolicy.restartPolicy ports.name ports.protocol
		env.name env.valueFrom.secretKeyRef.name env.valueFrom.secretKeyRef.key
		env.valueFrom.configMapKeyRef.name env.valueFrom.configMapKeyRef.key
		env.valueFrom.fieldRef.apiVersion env.valueFrom.fieldRef.fieldPath
		env.valueFrom.resourceFieldRef.containerName env.valueFrom.resourceFieldRef.resource env.valueFrom.resourceFieldRef.divisor
		envFrom.prefix envFrom.secretRef.name envFrom.configMapRef.name
		volumeMounts.name volumeMounts.recursiveReadOnly volumeMounts.mountPropagation volumeDevices.name
		livenessProbe.@handler readinessProbe.@handler startupProbe.@handler
		lifecycle.postStart.@handler lifecycle.preStop.@handler lifecycle.stopSignal`,
	"handler": `exec.command?commands httpGet.port httpGet.scheme httpGet.path?headers httpGet.host?headers
		httpGet.httpHeaders.name httpGet.httpHeaders.value?headers tcpSocket.port`,

	"volume": `name image.reference persistentVolumeClaim.claimName configMap.name configMap.items.key secret.secretName secret.items.key
		emptyDir.medium emptyDir.sizeLimit hostPath.type ephemeral.volumeClaimTemplate.@claim
		csi.driver csi.volumeAttributes.*?volume-attributes csi.nodePublishSecretRef.name
		flexVolume.driver flexVolume.options.*?volume-attributes flexVolume.secretRef.name
		projected.sources.configMap.name projected.sources.configMap.items.key
		projected.sources.secret.name projected.sources.secret.items.key
		downwardAPI.items.fieldRef.fieldPath downwardAPI.items.resourceFieldRef.@resourceField
		projected.sources.downwardAPI.items.fieldRef.fieldPath
		projected.sources.downwardAPI.items.resourceFieldRef.@resourceField`,
	"resourceField": `containerName resource divisor`,
}

// keptTree are the kept fields below a place in an object; none if it is nil.
type keptTree struct {
	// byName has what is kept below each; "*" is any name.
	byName map[string]*keptTree
	// whole says that the text at this place is kept, ask what must be asked for.
	whole bool
	ask   string
	// special redacts what is at this place.
	special func(r *Redactor, v any) any
}

func (f *keptTree) below(name string) *keptTree {
	if f == nil {
		return nil
	}
	if below, ok := f.byName[name]; ok {
		return below
	}
	return f.byName["*"]
}

// keptOf are the kept fields of a kind. Of one that is not known they are those of
// the metadata.
func keptOf(kind string) (f *keptTree, known bool) {
	if f, known = keptKinds()[kind]; !known {
		f = keptKinds()["object"]
	}
	return f, known
}

// keptKinds reads keptFields.
var keptKinds = sync.OnceValue(func() map[string]*keptTree {
	kinds := map[string]*keptTree{"object": readKept("object")}
	for _, k := range recordKinds {
		kinds[k.Kind] = readKept(k.Kind)
	}
	return kinds
})

func readKept(name string) *keptTree {
	f := &keptTree{}
	f.addAll(name)
	return f
}

func (f *keptTree) addAll(name string) {
	list, ok := keptFields[name]
	if !ok {
		panic("watcher: keptFields has no " + name) // a typing error in this file
	}
	for path := range strings.FieldsSeq(list) {
		path, ask, _ := strings.Cut(path, "?")
		f.add(strings.Split(path, "."), ask)
	}
}

func (f *keptTree) add(path []string, ask string) {
	if len(path) == 0 {
		f.whole, f.ask = true, ask
		return
	}
	switch name, included := strings.CutPrefix(path[0], "@"); {
	case path[0] == "@annotations":
		f.special = (*Redactor).annotations
	case path[0] == "@ownedFields":
		f.special = (*Redactor).ownedFields
	case included:
		f.addAll(name)
	default:
		if f.byName == nil {
			f.byName = map[string]*keptTree{}
		}
		if f.byName[name] == nil {
			f.byName[name] = &keptTree{}
		}
		f.byName[name].add(path[1:], ask)
	}
}
