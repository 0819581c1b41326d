{{- define "rollspan.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The release's name alone where it has the chart's name in it. */}}
{{- define "rollspan.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "rollspan.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "rollspan.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* Where the objects are that are in a namespace. */}}
{{- define "rollspan.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* A name with room for what comes after: dict "root" . "suffix" "owners". A long name is cut,
     and has a hash in it: two releases may begin with the same words. */}}
{{- define "rollspan.nameWith" -}}
{{- $room := sub 62 (len .suffix) | int }}
{{- $name := include "rollspan.fullname" .root }}
{{- if gt (len $name) $room }}
{{- $name = printf "%s-%s" ($name | trunc (sub $room 9 | int) | trimSuffix "-") (sha256sum $name | trunc 8) }}
{{- end }}
{{- printf "%s-%s" $name .suffix }}
{{- end }}

{{- define "rollspan.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "rollspan.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What selects pods. It can never change, so no value but the names gets in. */}}
{{- define "rollspan.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rollspan.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "rollspan.jaeger.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rollspan.name" . | trunc 56 | trimSuffix "-" }}-jaeger
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "rollspan.releaseLabels" -}}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* name, namespace, labels and annotations of an object of rollspan's:
     dict "root" . "name" … "namespace" … "annotations" … "labels" …; the last three may be
     left out, and an object without a namespace is in none. */}}
{{- define "rollspan.metadata" -}}
name: {{ .name | quote }}
{{- with .namespace }}
namespace: {{ . | quote }}
{{- end }}
labels:
  {{- include "rollspan.selectorLabels" .root | nindent 2 }}
  {{- with .root.Chart.AppVersion }}
  app.kubernetes.io/version: {{ . | quote }}
  {{- end }}
  {{- include "rollspan.releaseLabels" .root | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "rollspan.jaeger.metadata" -}}
name: {{ .name | quote }}
namespace: {{ include "rollspan.namespace" .root | quote }}
labels:
  {{- include "rollspan.jaeger.selectorLabels" .root | nindent 2 }}
  {{- include "rollspan.releaseLabels" .root | nindent 2 }}
{{- with .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* dict "root" . "image" .Values.image "tag" the default */}}
{{- define "rollspan.image" -}}
{{- with .image.registry | default ((.root.Values.global).imageRegistry) }}{{ . }}/{{ end }}{{ .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .tag }}{{ end }}
{{- end }}

{{/* Where the spans go; empty for nowhere. */}}
{{- define "rollspan.endpoint" -}}
{{- if .Values.jaeger.enabled -}}
http://{{ include "rollspan.nameWith" (dict "root" . "suffix" "jaeger") }}:4317
{{- else -}}
{{ .Values.otlp.endpoint }}
{{- end }}
{{- end }}

{{/* The port that an endpoint names; nothing without one. */}}
{{- define "rollspan.port" -}}
{{- regexFind ":[0-9]+(/|$)" . | trimPrefix ":" | trimSuffix "/" }}
{{- end }}

{{/* A quantity of bytes in MiB. */}}
{{- define "rollspan.mebibytes" -}}
{{- $unit := regexFind "[A-Za-z]*$" . }}
{{- $mebibytes := dict "Ki" 0.0009765625 "Mi" 1.0 "Gi" 1024.0 "Ti" 1048576.0 "" 0.00000095367431640625 "k" 0.00095367431640625 "M" 0.95367431640625 "G" 953.67431640625 "T" 953674.31640625 }}
{{- mulf (trimSuffix $unit . | float64) (get $mebibytes $unit) }}
{{- end }}

{{/* A duration such as 1m30s in milliseconds. */}}
{{- define "rollspan.milliseconds" -}}
{{- $sum := 0 }}
{{- range regexFindAll "[0-9]+(ms|s|m|h)" . -1 }}
{{- $unit := regexFind "[a-z]+$" . }}
{{- $sum = add $sum (mul (trimSuffix $unit . | int) (get (dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit)) }}
{{- end }}
{{- $sum }}
{{- end }}

{{/* Nine tenths of a memory limit in MiB, rounded down to tens as in docs/memory.md; nothing
     without a limit. */}}
{{- define "rollspan.goMemLimit" -}}
{{- with ((.Values.resources).limits).memory }}
{{- $tens := mulf (include "rollspan.mebibytes" . | float64) 0.09 | floor | int }}
{{- if gt $tens 0 }}{{ mul 10 $tens }}MiB{{ end }}
{{- end }}
{{- end }}

{{/* The chart's own, and those that a parent chart shares. */}}
{{- define "rollspan.imagePullSecrets" -}}
{{- with concat (.Values.imagePullSecrets | default list) (((.Values.global).imagePullSecrets) | default list) | uniq }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* The type of the strategy. A data directory in a claim is one process's own: the old pod goes
     before the new one comes. */}}
{{- define "rollspan.strategyType" -}}
{{- (.Values.strategy).type | default (and .Values.dataDir.enabled .Values.dataDir.claim.enabled | ternary "Recreate" "RollingUpdate") }}
{{- end }}

{{/* All of the strategy, and the API server's defaults, too. Nobody would own what the API server
     adds, so a server-side apply of Recreate could not take it away. */}}
{{- define "rollspan.strategy" -}}
{{- $type := include "rollspan.strategyType" . -}}
type: {{ $type }}
{{- if eq $type "RollingUpdate" }}
{{- $rolling := dict "maxSurge" "25%" "maxUnavailable" "25%" }}
{{- range $field, $value := (.Values.strategy).rollingUpdate }}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $rolling $field $value }}{{ end }}
{{- end }}
rollingUpdate:
  {{- toYaml $rolling | nindent 2 }}
{{- end }}
{{- end }}

{{/* What pods have as the values say; dict "values" … "fields" list */}}
{{- define "rollspan.podFields" -}}
{{- range $field := .fields }}
{{- with get $.values $field }}
{{ dict $field . | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{- define "rollspan.subject" -}}
- kind: ServiceAccount
  name: {{ include "rollspan.serviceAccountName" . | quote }}
  namespace: {{ include "rollspan.namespace" . | quote }}
{{- end }}
