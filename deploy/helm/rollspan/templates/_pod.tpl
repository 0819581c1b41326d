{{- define "rollspan.env" -}}
{{ include "rollspan.otlpEnv" . }}
{{- with include "rollspan.goMemLimit" . | trim }}
# Nine tenths of the memory limit, so that the garbage collector works harder before the
# kernel has to.
- name: GOMEMLIMIT
  value: {{ . }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The standard variables of OpenTelemetry for where spans go, and how. */}}
{{- define "rollspan.otlpEnv" -}}
{{- $otlp := .Values.otlp }}
{{- with include "rollspan.endpoint" . }}
# Where the spans go. All OTEL_EXPORTER_OTLP_* variables are honoured.
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with $otlp.protocol }}
- name: OTEL_EXPORTER_OTLP_PROTOCOL
  value: {{ . | quote }}
{{- end }}
{{- if $otlp.insecure }}
- name: OTEL_EXPORTER_OTLP_INSECURE
  value: "true"
{{- end }}
{{- with $otlp.compression }}
- name: OTEL_EXPORTER_OTLP_COMPRESSION
  value: {{ . | quote }}
{{- end }}
{{- with $otlp.headers }}
{{- /* A number of a file is a float, which toString would write with an exponent. */}}
{{- $headers := list }}
{{- range $name, $value := . }}
{{- $headers = append $headers (printf "%s=%s" $name (kindIs "string" $value | ternary $value (toJson $value) | urlquery | replace "+" "%20")) }}
{{- end }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  value: {{ join "," $headers | quote }}
{{- end }}
{{- if $otlp.caSecret.name }}
- name: OTEL_EXPORTER_OTLP_CERTIFICATE
  value: {{ printf "/etc/rollspan/ca/%s" $otlp.caSecret.key | quote }}
{{- end }}
{{- if $otlp.clientSecret.name }}
- name: OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE
  value: /etc/rollspan/client/tls.crt
- name: OTEL_EXPORTER_OTLP_CLIENT_KEY
  value: /etc/rollspan/client/tls.key
{{- end }}
{{- end }}

{{/* Whole folders, and no single files, so that what is in them can be renewed. */}}
{{- define "rollspan.volumeMounts" -}}
{{- if .Values.dataDir.enabled }}
- name: data
  mountPath: /var/lib/rollspan
{{- end }}
{{- if .Values.otlp.headersSecret.name }}
- name: otlp-headers
  mountPath: /etc/rollspan/headers
  readOnly: true
{{- end }}
{{- if .Values.otlp.bearerTokenSecret.name }}
- name: otlp-bearer-token
  mountPath: /etc/rollspan/bearer-token
  readOnly: true
{{- end }}
{{- if .Values.otlp.caSecret.name }}
- name: otlp-ca
  mountPath: /etc/rollspan/ca
  readOnly: true
{{- end }}
{{- if .Values.otlp.clientSecret.name }}
- name: otlp-client
  mountPath: /etc/rollspan/client
  readOnly: true
{{- end }}
{{- if and .Values.ui.enabled .Values.ui.tokenSecret.name }}
- name: ui-token
  mountPath: /etc/rollspan/ui
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "rollspan.volumes" -}}
{{- if .Values.dataDir.enabled }}
- name: data
  {{- if .Values.dataDir.claim.enabled }}
  persistentVolumeClaim:
    claimName: {{ .Values.dataDir.claim.existingClaim | default (include "rollspan.nameWith" (dict "root" . "suffix" "data")) | quote }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ .Values.dataDir.sizeLimit | quote }}
  {{- end }}
{{- end }}
{{- if .Values.otlp.headersSecret.name }}
- name: otlp-headers
  secret:
    secretName: {{ .Values.otlp.headersSecret.name | quote }}
{{- end }}
{{- if .Values.otlp.bearerTokenSecret.name }}
- name: otlp-bearer-token
  secret:
    secretName: {{ .Values.otlp.bearerTokenSecret.name | quote }}
{{- end }}
{{- if .Values.otlp.caSecret.name }}
- name: otlp-ca
  secret:
    secretName: {{ .Values.otlp.caSecret.name | quote }}
{{- end }}
{{- if .Values.otlp.clientSecret.name }}
- name: otlp-client
  secret:
    secretName: {{ .Values.otlp.clientSecret.name | quote }}
{{- end }}
{{- if and .Values.ui.enabled .Values.ui.tokenSecret.name }}
- name: ui-token
  secret:
    secretName: {{ .Values.ui.tokenSecret.name | quote }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
