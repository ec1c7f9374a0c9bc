{{- define "xinfer.labels" -}}
app.kubernetes.io/name: xinfer
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "xinfer.selector" -}}
app.kubernetes.io/name: xinfer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "xinfer.name" -}}
{{- if contains "xinfer" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-xinfer" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "xinfer.keysSecret" -}}
{{ .Values.keys.existingSecret | default (printf "%s-keys" (include "xinfer.name" .)) }}
{{- end }}

{{- define "xinfer.metricsAuthorization" -}}
type: Bearer
credentials: {name: {{ include "xinfer.keysSecret" . }}, key: metrics}
{{- end }}

{{- define "xinfer.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default (printf "%s-cuda" .Chart.AppVersion) }}
{{- end }}

{{- define "xinfer.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1000
runAsGroup: 1000
fsGroup: 1000
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "xinfer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* For `ray health-check` in the container that KubeRay puts before a worker's, and the autoscaler; xinfer sets the same. */}}
{{- define "xinfer.rayToken" -}}
- name: RAY_AUTH_MODE
  value: token
- name: RAY_AUTH_TOKEN_PATH
  value: /var/lib/xinfer/ray.token
{{- end }}

{{- define "xinfer.environment" -}}
- name: POD_IP
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{ include "xinfer.rayToken" . }}
{{- range $name, $value := .Values.environment }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "xinfer.environmentFrom" -}}
{{- with .Values.environmentSecret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "xinfer.mounts" -}}
- {name: state, mountPath: /var/lib/xinfer}
- {name: ray-token, mountPath: /var/lib/xinfer/ray.token, subPath: ray.token, readOnly: true}
- {name: cache, mountPath: /var/cache/xinfer}
- {name: tmp, mountPath: /tmp}
- {name: shared-memory, mountPath: /dev/shm}
{{- end }}

{{- define "xinfer.volumes" -}}
- name: ray-token
  secret:
    secretName: {{ .Values.rayToken.existingSecret | default (printf "%s-ray-token" (include "xinfer.name" .)) }}
    defaultMode: 0440
- name: cache
  {{- if .Values.cache.existingClaim }}
  persistentVolumeClaim: {claimName: {{ .Values.cache.existingClaim }}}
  {{- else }}
  emptyDir: {sizeLimit: {{ .Values.cache.sizeLimit }}}
  {{- end }}
- name: tmp
  emptyDir: {}
- name: shared-memory
  emptyDir: {medium: Memory, sizeLimit: {{ .Values.sharedMemory }}}
{{- end }}

{{- /* The head and all workers: models are launched when their GPUs are there. */}}
{{- define "xinfer.nodes" -}}
{{- $nodes := 1 }}
{{- range .Values.workers }}{{ $nodes = add $nodes .replicas }}{{ end }}
{{- $nodes -}}
{{- end }}
