{{/* What the schema cannot say, or not as clearly: values that do not go together. */}}
{{- define "rollspan.contradictions" -}}
{{- $v := .Values }}
{{- $missing := list }}
{{- range $path := .Files.Lines "files/values.txt" }}
{{- $at := $v }}
{{- range $key := splitList "." $path }}
{{- if kindIs "map" $at }}{{ $at = index $at $key }}{{ end }}
{{- end }}
{{- if and $path (kindIs "invalid" $at) }}
{{- $missing = append $missing $path }}
{{- end }}
{{- end }}
{{- if $missing }}
{{- printf "values that are missing: %s\n  helm upgrade --reuse-values keeps the defaults of the chart that was there before; use --reset-then-reuse-values.\n  Of a value that is set to null there is no default; leave it out." (join ", " $missing) | fail }}
{{- end }}
{{- $wrong := list }}
{{- range $where := list "commonLabels" "podLabels" }}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- if hasKey (get $v $where) $label }}
{{- $wrong = append $wrong (printf "%s: %s is the chart's own, and selects pods or tells versions; choose another label." $where $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and $v.jaeger.enabled $v.otlp.endpoint }}
{{- $wrong = append $wrong "jaeger.enabled and otlp.endpoint: rollspan sends to one place; set one of them. A Collector sends to several." }}
{{- end }}
{{- if not (regexMatch "^$|^https?://[^/]|^([^/:]+|\\[[^]]+\\]):[0-9]+$" $v.otlp.endpoint) }}
{{- $wrong = append $wrong (printf "otlp.endpoint: %q is no address; write http://host:4317, https://host:4318, or host:port for gRPC with TLS." $v.otlp.endpoint) }}
{{- end }}
{{- $port := include "rollspan.port" $v.otlp.endpoint }}
{{- if gt (int $port) 65535 }}
{{- $wrong = append $wrong (printf "otlp.endpoint: there is no port %s; gRPC is mostly on 4317, http/protobuf on 4318." $port) }}
{{- end }}
{{- if and (hasPrefix "http://" $v.otlp.endpoint) (not $port) (ne $v.otlp.protocol "http/protobuf") }}
{{- $wrong = append $wrong (printf "otlp.endpoint: %q has no port; write http://host:4317 for gRPC, or http://host:4318." $v.otlp.endpoint) }}
{{- end }}
{{- if and $v.otlp.insecure (contains "://" $v.otlp.endpoint) }}
{{- $wrong = append $wrong "otlp.insecure: it is for host:port; of a URL the scheme says whether there is TLS." }}
{{- end }}
{{- if and (hasPrefix "http://" $v.otlp.endpoint) (or $v.otlp.caSecret.name $v.otlp.clientSecret.name) }}
{{- $wrong = append $wrong "otlp.caSecret, otlp.clientSecret: there is no TLS with http://; write https:// in otlp.endpoint." }}
{{- end }}
{{- range $flag, $value := dict "cluster-name" "clusterName" "data-dir" "dataDir.enabled" "data-dir-max-bytes" "dataDir.maxBytes" "health-address" "health.port" "leader-elect" "leaderElection.enabled" "leader-elect-name" "fullnameOverride" "log-format" "log.format" "log-level" "log.level" "metrics-address" "metrics.port" "namespace" "namespaces" "otlp-bearer-token-file" "otlp.bearerTokenSecret" "otlp-compression" "otlp.compression" "otlp-endpoint" "otlp.endpoint" "otlp-headers" "otlp.headers" "otlp-headers-file" "otlp.headersSecret" "otlp-insecure" "otlp.insecure" "otlp-protocol" "otlp.protocol" "ui-address" "ui.enabled" "ui-token-file" "ui.tokenSecret" }}
{{- range $v.extraArgs }}
{{- if or (eq . (printf "--%s" $flag)) (hasPrefix (printf "--%s=" $flag) .) }}
{{- $wrong = append $wrong (printf "extraArgs: --%s is what %s sets, with all that belongs to it; set that." $flag $value) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $v.extraArgs }}
{{- $drain := regexFind "^--drain-timeout=[0-9msh]+$" . | trimPrefix "--drain-timeout=" }}
{{- if ge (include "rollspan.milliseconds" $drain | int) (mul 1000 $v.terminationGracePeriodSeconds | int) }}
{{- $wrong = append $wrong (printf "terminationGracePeriodSeconds: the pod is killed before --drain-timeout=%s is over; set more." $drain) }}
{{- end }}
{{- end }}
{{- $sends := or $v.jaeger.enabled $v.otlp.endpoint }}
{{- if and (not $sends) (or $v.otlp.headers $v.otlp.headersSecret.name $v.otlp.bearerTokenSecret.name $v.otlp.caSecret.name $v.otlp.clientSecret.name $v.otlp.protocol $v.otlp.insecure $v.otlp.compression) }}
{{- $wrong = append $wrong "otlp: there are settings for a collector, and no otlp.endpoint." }}
{{- end }}
{{- if and $v.jaeger.enabled (or $v.otlp.headers $v.otlp.headersSecret.name $v.otlp.bearerTokenSecret.name $v.otlp.caSecret.name $v.otlp.clientSecret.name $v.otlp.protocol) }}
{{- $wrong = append $wrong "jaeger.enabled: the Jaeger of this chart takes gRPC without TLS and headers; leave out what else is in otlp." }}
{{- end }}
{{- if and (gt (int $v.replicaCount) 1) (not $v.leaderElection.enabled) }}
{{- $wrong = append $wrong "replicaCount: several replicas would each send every trace; set leaderElection.enabled=true." }}
{{- end }}
{{- if and $v.dataDir.claim.enabled (not $v.dataDir.enabled) }}
{{- $wrong = append $wrong "dataDir.claim.enabled: nothing would use the claim; set dataDir.enabled=true, too." }}
{{- end }}
{{- if and $v.dataDir.enabled (gt (int $v.replicaCount) 1) }}
{{- $wrong = append $wrong "dataDir.enabled: a journal is one process's own, and misses what other replicas sent; set replicaCount=1, or dataDir.enabled=false." }}
{{- end }}
{{- if and $v.dataDir.enabled $v.dataDir.claim.enabled (eq (($v.strategy).type | default "Recreate") "RollingUpdate") }}
{{- $wrong = append $wrong "strategy.type: with a claim the old pod must be gone before the new one starts; leave strategy out, or set Recreate." }}
{{- end }}
{{- if and ($v.strategy).rollingUpdate (eq (include "rollspan.strategyType" .) "Recreate") }}
{{- $wrong = append $wrong "strategy.rollingUpdate: it does not go with Recreate; set it to null." }}
{{- end }}
{{- if $v.dataDir.enabled }}
{{- $room := $v.dataDir.claim.enabled | ternary $v.dataDir.claim.size $v.dataDir.sizeLimit }}
{{- $where := $v.dataDir.claim.enabled | ternary "dataDir.claim.size" "dataDir.sizeLimit" }}
{{- if and (not (and $v.dataDir.claim.enabled $v.dataDir.claim.existingClaim)) (ge (include "rollspan.mebibytes" $v.dataDir.maxBytes | float64) (include "rollspan.mebibytes" $room | float64)) }}
{{- $wrong = append $wrong (printf "dataDir.maxBytes: a journal of %s does not fit into %s, which is %s; twice maxBytes leaves room." $v.dataDir.maxBytes $where $room) }}
{{- end }}
{{- end }}
{{- range $monitor := list "serviceMonitor" "podMonitor" }}
{{- $m := get $v $monitor }}
{{- if and $m.interval $m.scrapeTimeout (gt (include "rollspan.milliseconds" $m.scrapeTimeout | int) (include "rollspan.milliseconds" $m.interval | int)) }}
{{- $wrong = append $wrong (printf "%s.scrapeTimeout: a scrape may not take longer than the interval, %s." $monitor $m.interval) }}
{{- end }}
{{- end }}
{{- $budget := $v.podDisruptionBudget }}
{{- if and (ne (toString $budget.minAvailable) "") (ne (toString $budget.maxUnavailable) "") }}
{{- $wrong = append $wrong "podDisruptionBudget: Kubernetes takes minAvailable or maxUnavailable, and not both." }}
{{- end }}
{{- if and $budget.enabled (ne (toString $budget.minAvailable) "") (not (hasSuffix "%" (toString $budget.minAvailable))) (ge (int $budget.minAvailable) (int $v.replicaCount)) }}
{{- $wrong = append $wrong "podDisruptionBudget.minAvailable: no node with a replica could ever be drained; set less than replicaCount." }}
{{- end }}
{{- if and $budget.enabled (or (eq (toString $budget.minAvailable) "100%") (has (toString $budget.maxUnavailable) (list "0" "0%"))) }}
{{- $wrong = append $wrong "podDisruptionBudget: no node with a replica could ever be drained; let one replica be away." }}
{{- end }}
{{- if and (or $v.serviceMonitor.enabled $v.podMonitor.enabled) (not $v.metrics.enabled) }}
{{- $wrong = append $wrong "serviceMonitor, podMonitor: there is nothing to scrape; set metrics.enabled=true." }}
{{- end }}
{{- if and $v.serviceMonitor.enabled (not $v.service.enabled) }}
{{- $wrong = append $wrong "serviceMonitor.enabled: it finds a Service; set service.enabled=true, or podMonitor.enabled=true instead." }}
{{- end }}
{{- if and $v.serviceMonitor.enabled $v.podMonitor.enabled }}
{{- $wrong = append $wrong "serviceMonitor.enabled and podMonitor.enabled: everything would be counted twice; set one of them." }}
{{- end }}
{{- if and $v.prometheusRule.enabled (not $v.metrics.enabled) }}
{{- $wrong = append $wrong "prometheusRule.enabled: there are no metrics to alert by; set metrics.enabled=true." }}
{{- end }}
{{- $alerts := list }}
{{- range (.Files.Get "files/alerts.yaml" | fromYaml).groups }}
{{- range .rules }}
{{- $alerts = append $alerts .alert }}
{{- end }}
{{- end }}
{{- range $name := $v.prometheusRule.disabled }}
{{- if not (has $name $alerts) }}
{{- $wrong = append $wrong (printf "prometheusRule.disabled: there is no alert %q; docs/alerts.md has their names." $name) }}
{{- end }}
{{- end }}
{{- if and (not $v.rbac.create) (or $v.rbac.extraRules $v.rbac.owners.enabled $v.rbac.clusterScoped) }}
{{- $wrong = append $wrong "rbac.create=false: no rules are made, so rbac.extraRules, rbac.owners and rbac.clusterScoped do nothing; leave them out." }}
{{- end }}
{{- if and $v.rbac.owners.rules (not $v.rbac.owners.enabled) }}
{{- $wrong = append $wrong "rbac.owners.rules: nothing has them; set rbac.owners.enabled=true." }}
{{- end }}
{{- if and $v.metrics.enabled (eq (int $v.metrics.port) (int $v.health.port)) }}
{{- $wrong = append $wrong "metrics.port and health.port: they are the same; change one of them." }}
{{- end }}
{{- if and $v.ui.service.enabled (not (and $v.ui.enabled $v.ui.tokenSecret.name)) }}
{{- $wrong = append $wrong "ui.service.enabled: without a token the page is on the pod's loopback address; set ui.enabled=true and ui.tokenSecret.name, or use kubectl port-forward." }}
{{- end }}
{{- if and $v.ui.ingress.enabled (not (and $v.ui.service.enabled $v.ui.ingress.host)) }}
{{- $wrong = append $wrong "ui.ingress.enabled: it leads from a host to the Service; set ui.ingress.host and ui.service.enabled=true." }}
{{- end }}
{{- if and $v.ui.tokenSecret.name (not $v.ui.enabled) }}
{{- $wrong = append $wrong "ui.tokenSecret.name: there is no page that would ask for it; set ui.enabled=true." }}
{{- end }}
{{- if and $v.ui.enabled (or (eq (int $v.ui.port) (int $v.health.port)) (and $v.metrics.enabled (eq (int $v.ui.port) (int $v.metrics.port)))) }}
{{- $wrong = append $wrong "ui.port: it is that of the metrics or of the probes; change one of them." }}
{{- end }}
{{- if $wrong }}
{{- printf "wrong values:\n  - %s" (join "\n  - " $wrong) | fail }}
{{- end }}
{{- end }}
