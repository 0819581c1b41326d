{{/* What rollspan reads in namespaces. The chart's tests compare it with config/rbac. */}}
{{- define "rollspan.rules.namespaced" -}}
{{- $kinds := .Values.rbac.kinds }}
# What there are no traces without: rollspan ends where one of these is missing.
- apiGroups: ["apps"]
  resources: ["deployments", "replicasets"]
  verbs: ["list", "watch"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
# Without one of the rules below rollspan says so once, and goes on.
{{- if $kinds.events }}
- apiGroups: [""]
  resources: ["events"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.statefulsets }}
- apiGroups: ["apps"]
  resources: ["statefulsets"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.daemonsets }}
- apiGroups: ["apps"]
  resources: ["daemonsets"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.controllerrevisions }}
- apiGroups: ["apps"]
  resources: ["controllerrevisions"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.rollouts }}
- apiGroups: ["argoproj.io"]
  resources: ["rollouts"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.replicationcontrollers }}
- apiGroups: [""]
  resources: ["replicationcontrollers"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.jobs }}
- apiGroups: ["batch"]
  resources: ["jobs"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.cronjobs }}
- apiGroups: ["batch"]
  resources: ["cronjobs"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.horizontalpodautoscalers }}
- apiGroups: ["autoscaling"]
  resources: ["horizontalpodautoscalers"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.persistentvolumeclaims }}
- apiGroups: [""]
  resources: ["persistentvolumeclaims"]
  verbs: ["list", "watch"]
{{- end }}
{{- with .Values.rbac.extraRules }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What rollspan reads that is in no namespace; nothing if none of it is wanted. */}}
{{- define "rollspan.rules.clusterScoped" -}}
{{- $kinds := .Values.rbac.kinds }}
{{- if $kinds.nodes }}
- apiGroups: [""]
  resources: ["nodes"]
  verbs: ["list", "watch"]
{{- end }}
{{- if $kinds.clusterUID }}
- apiGroups: [""]
  resources: ["namespaces"]
  resourceNames: ["kube-system"]
  verbs: ["get"]
{{- end }}
{{- end }}
