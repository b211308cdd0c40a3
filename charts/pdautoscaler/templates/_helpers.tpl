{{/* The name of everything: the release's, with the chart's in it. */}}
{{- define "pdautoscaler.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) -}}
{{- $name | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* What a selector selects. */}}
{{- define "pdautoscaler.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pdautoscaler.commonLabels" -}}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "pdautoscaler.labels" -}}
{{ include "pdautoscaler.selector" . }}
{{ include "pdautoscaler.commonLabels" . }}
{{- end }}

{{/* gpu-agent is another program: its pods must not be taken for the controller's. */}}
{{- define "pdautoscaler.gpuAgentSelector" -}}
app: pdautoscaler-gpu-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pdautoscaler.gpuAgentLabels" -}}
app.kubernetes.io/name: gpu-agent
{{ include "pdautoscaler.gpuAgentSelector" . }}
{{ include "pdautoscaler.commonLabels" . }}
{{- end }}

{{/* An image: (dict "root" $ "image" .Values.image) */}}
{{- define "pdautoscaler.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The controller as a subject of a binding. */}}
{{- define "pdautoscaler.subject" -}}
- kind: ServiceAccount
  name: {{ include "pdautoscaler.fullname" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/* The rules of a role of config/rbac, of which files/rules is a copy: (dict "root" $ "of" "pdautoscaler-drain") */}}
{{- define "pdautoscaler.rules" -}}
rules:
{{ .root.Files.Get (printf "files/rules/%s.yaml" .of) | required (printf "the chart has no file files/rules/%s.yaml" .of) | trim }}
{{- end }}

{{/* Served ports that have a certificate, as a list of the names of their Services. */}}
{{- define "pdautoscaler.certificates" -}}
{{- $ports := list }}
{{- if .Values.metrics.serviceMonitor.enabled }}{{ $ports = append $ports "metrics" }}{{ end }}
{{- if eq .Values.page.serve "service" }}{{ $ports = append $ports "page" }}{{ end }}
{{- if .Values.metricsAPI.enabled }}{{ $ports = append $ports "metrics-api" }}{{ end }}
{{- if .Values.keda.enabled }}{{ $ports = append $ports "keda" }}{{ end }}
{{- toJson $ports }}
{{- end }}

{{/* The names by which a Service is called: (dict "root" $ "port" "metrics-api") */}}
{{- define "pdautoscaler.serviceNames" -}}
{{- $name := printf "%s-%s.%s.svc" (include "pdautoscaler.fullname" .root) .port .root.Release.Namespace }}
{{- list $name (printf "%s.cluster.local" $name) | toJson }}
{{- end }}

{{/* The chart's own authority, as .Values.made: the one that the cluster has, or else a new one, made once in a rendering. */}}
{{- define "pdautoscaler.makeCA" -}}
{{- if not (hasKey .Values "made") }}
{{- $name := printf "%s-ca" (include "pdautoscaler.fullname" .) }}
{{- $days := 3650 }}
{{- $ca := dict }}
{{- with lookup "v1" "Secret" .Release.Namespace $name }}
{{- $ca = buildCustomCert (index .data "tls.crt") (index .data "tls.key") }}
{{- else }}
{{- $ca = genCA $name $days }}
{{- end }}
{{- $_ := set .Values "made" (dict "ca" $ca "days" $days) }}
{{- end }}
{{- end }}
