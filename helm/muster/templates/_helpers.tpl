{{- define "muster.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* At most 40 characters: names made from it have suffixes. */ -}}
{{- define "muster.fullname" -}}
{{- $name := include "muster.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "muster.selectorLabels" -}}
app.kubernetes.io/name: {{ include "muster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "muster.labels" -}}
{{ include "muster.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: muster
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "muster.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "muster.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "muster.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end }}
{{- end }}

{{- define "muster.pullSecrets" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- /* The settings as variables. Numbers come from YAML as floats, of which large ones would be written as 1e+06. */ -}}
{{- define "muster.env" -}}
{{- range $name, $value := .Values.settings }}
{{- if not (or (kindIs "invalid" $value) (eq (toString $value) "")) }}
- name: MUSTER_{{ $name | snakecase | upper }}
  {{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}
  value: {{ $value | int64 | toString | quote }}
  {{- else }}
  value: {{ $value | toString | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .Values.watchNamespaces }}
- name: MUSTER_WATCH_NAMESPACES
  value: {{ uniq . | join "," | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* What a schema cannot say, since it is about two values. */ -}}
{{- define "muster.check" -}}
{{- $s := .Values.settings }}
{{- if and (not $s.leaderElect) (gt (int .Values.replicas) 1) }}
{{- fail (printf "replicas is %d while settings.leaderElect is false: each would decide by itself, and gangs would overlap. Set replicas to 1 or settings.leaderElect to true." (int .Values.replicas)) }}
{{- end }}
{{- if lt (int $s.planLatestMs) (int $s.planQuietMs) }}
{{- fail (printf "settings.planLatestMs is %d, less than settings.planQuietMs, %d: make it at least as large." (int $s.planLatestMs) (int $s.planQuietMs)) }}
{{- end }}
{{- with .Values.terminationGracePeriodSeconds }}
{{- if le (int .) (int $s.shutdownSeconds) }}
{{- fail (printf "terminationGracePeriodSeconds is %d, not more than settings.shutdownSeconds, %d: the operator would be killed before it has let go of its writes. Leave it empty or raise it." (int .) (int $s.shutdownSeconds)) }}
{{- end }}
{{- end }}
{{- if and (not (include "muster.hasMetrics" .)) (or .Values.metrics.serviceMonitor.create .Values.metrics.rules.create) }}
{{- fail "metrics.serviceMonitor and metrics.rules need metrics: set metrics.service.create to true and settings.metricsBindPort to a port, or turn them off." }}
{{- end }}
{{- if and (eq .Values.clusterTopology.preset "Custom") .Values.clusterTopology.create (not .Values.clusterTopology.spec.levels) }}
{{- fail "clusterTopology.preset is Custom, and clusterTopology.spec.levels is empty: list the levels, broadest first, or name a preset." }}
{{- end }}
{{- end }}

{{- define "muster.hasMetrics" -}}
{{- if and .Values.metrics.service.create (ne (int .Values.settings.metricsBindPort) 0) }}yes{{ end }}
{{- end }}

{{- /* What the scanner checkov finds and is meant to be so: annotations of the object, which is where it looks. */ -}}
{{- define "muster.accepted" -}}
checkov.io/skip1: CKV_K8S_11=no limit of CPU, since a leader held back by one loses its lease when it has the most to do
checkov.io/skip2: CKV_K8S_38=its token is how it speaks to the API server, and all that it does
{{- if not .Values.podSecurityContext.runAsUser }}
checkov.io/skip7: CKV_K8S_40=the platform chooses the user
{{- end }}
{{- if not .Values.image.digest }}
checkov.io/skip3: CKV_K8S_43=image.digest is for whoever installs, the chart cannot know it
{{- end }}
{{- if ne .Values.image.pullPolicy "Always" }}
checkov.io/skip4: CKV_K8S_15=a registry that is down must not keep the operator from starting on a node that has the image
{{- end }}
{{- end }}
