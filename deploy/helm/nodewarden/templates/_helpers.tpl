{{- define "nodewarden.labels" -}}
app.kubernetes.io/name: nodewarden
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "nodewarden.priorityClass" -}}
{{- if .Values.priorityClassName -}}
{{ .Values.priorityClassName }}
{{- else if eq .Release.Namespace "kube-system" -}}
system-node-critical
{{- else -}}
{{ printf "%s-%s" .Release.Namespace .Release.Name | trunc 63 }}
{{- end -}}
{{- end }}

{{- define "nodewarden.listen" -}}
{{- if and .Values.serviceMonitor.enabled (hasPrefix "127." .Values.metrics.listen) -}}
0.0.0.0:{{ last (splitList ":" .Values.metrics.listen) }}
{{- else -}}
{{ .Values.metrics.listen }}
{{- end -}}
{{- end }}

{{- define "nodewarden.port" -}}
{{ last (splitList ":" .Values.metrics.listen) }}
{{- end }}

{{- /* What the values say, as configuration. */}}
{{- define "nodewarden.local" -}}
{{- $metrics := dict "listen" (include "nodewarden.listen" .) }}
{{- $own := dict "metrics" $metrics }}
{{- if .Values.allowlist }}
{{- $_ := set $own "bans" (dict "allowlist" .Values.allowlist) }}
{{- end }}
{{- $detectors := deepCopy .Values.detectors }}
{{- if .Values.podLogs }}
{{- $detectors = mustMergeOverwrite (dict "failures" (deepCopy .Values.podLogs)) $detectors }}
{{- end }}
{{- if not (hasPrefix "127." (include "nodewarden.listen" .)) }}
{{- $ports := list (include "nodewarden.port" . | int) }}
{{- $service := dict "nodewarden-metrics" (dict "ports" $ports "networks" .Values.metrics.networks) }}
{{- $detectors = mustMergeOverwrite (dict "protected_port" (dict "services" $service)) $detectors }}
{{- end }}
{{- if $detectors }}
{{- $_ := set $own "detectors" $detectors }}
{{- end }}
{{- toYaml (mustMergeOverwrite $own (deepCopy .Values.config)) }}
{{- end }}
