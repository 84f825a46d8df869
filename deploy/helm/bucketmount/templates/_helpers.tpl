{{- define "bucketmount.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: "-controller" and a pod's hash follow. */}}
{{- define "bucketmount.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "bucketmount.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "bucketmount.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects a component's pods: never to change, selectors are immutable. Takes a dict of root and component. */}}
{{- define "bucketmount.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bucketmount.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{/* Labels of an object. Takes a dict of root and, where it belongs to one, component. */}}
{{- define "bucketmount.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "bucketmount.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- with .root.Values.customLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The annotations block in an object's metadata, or nothing. Takes a dict of root and, further ones, more. */}}
{{- define "bucketmount.annotations" }}
{{- with merge (dict) (default (dict) .more) .root.Values.commonAnnotations }}
{{- printf "annotations:\n%s" (toYaml . | indent 2) | nindent 2 }}
{{- end }}
{{- end }}

{{/* repository:tag@digest of a dict of the three. */}}
{{- define "bucketmount.reference" -}}
{{- printf "%s:%s" .repository .tag }}{{ with .digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "bucketmount.image" -}}
{{- include "bucketmount.reference" (dict "repository" .Values.image.repository "tag" (default .Chart.AppVersion .Values.image.tag) "digest" .Values.image.digest) }}
{{- end }}

{{/* The keeper's: the common image, as far as it has no own. A digest belongs to one repository and tag. */}}
{{- define "bucketmount.keeperImage" -}}
{{- $own := .Values.keeper.image }}
{{- $digest := ternary $own.digest (default .Values.image.digest $own.digest) (or (ne $own.repository "") (ne $own.tag "")) }}
{{- include "bucketmount.reference" (dict "repository" (default .Values.image.repository $own.repository) "tag" (default (default .Chart.AppVersion .Values.image.tag) $own.tag) "digest" $digest) }}
{{- end }}

{{/* Takes a dict of root and component. */}}
{{- define "bucketmount.serviceAccountName" -}}
{{- $account := (get .root.Values .component).serviceAccount }}
{{- if $account.create }}
{{- default (printf "%s-%s" (include "bucketmount.fullname" .root) .component) $account.name }}
{{- else }}
{{- default "default" $account.name }}
{{- end }}
{{- end }}

{{- define "bucketmount.secretName" -}}
{{- if .Values.secret.name }}
{{- .Values.secret.name }}
{{- else if .Values.secret.create }}
{{- include "bucketmount.fullname" . }}
{{- end }}
{{- end }}

{{- define "bucketmount.keeperSocket" -}}
{{ .Values.stateDir }}/keeper/keeper.sock
{{- end }}

{{/* What every pod of ours starts with. Takes a dict of root and settings. */}}
{{- define "bucketmount.placement" -}}
priorityClassName: {{ .settings.priorityClassName }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
nodeSelector:
  kubernetes.io/os: linux
  {{- with .settings.nodeSelector }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
affinity:
  {{- if .settings.affinity }}
  {{- toYaml .settings.affinity | nindent 2 }}
  {{- else }}
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms:
        - matchExpressions:
            - key: kubernetes.io/arch
              operator: In
              values:
                - amd64
                - arm64
  {{- end }}
{{- end }}

{{/* Network of a pod. Takes settings with hostNetwork, dnsPolicy, dnsConfig. */}}
{{- define "bucketmount.network" -}}
hostNetwork: {{ .hostNetwork }}
dnsPolicy: {{ default (ternary "ClusterFirstWithHostNet" "ClusterFirst" .hostNetwork) .dnsPolicy }}
{{- with .dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Taints that the pods of the node plugin and the keeper bear. */}}
{{- define "bucketmount.nodeTolerations" -}}
{{- if .Values.node.tolerateAllTaints -}}
- operator: Exists
{{- else if .Values.node.tolerations -}}
{{- toYaml .Values.node.tolerations }}
{{- end }}
{{- end }}

{{/* Arguments that controller and node plugin share. Takes a dict of root and settings. */}}
{{- define "bucketmount.pluginArgs" -}}
- --driver-name={{ .root.Values.driverName }}
- --log-level={{ default .root.Values.logLevel .settings.logLevel }}
- --http-endpoint=:{{ .settings.httpPort }}
{{- if .root.Values.kubeEvents }}
- --kube-events
{{- end }}
{{- with .root.Values.s3.endpoint }}
- --s3-endpoint={{ . }}
{{- end }}
{{- with .root.Values.s3.region }}
- --region={{ . }}
{{- end }}
{{- if .root.Values.s3.pathStyle }}
- --path-style
{{- end }}
{{- if include "bucketmount.caVolume" .root }}
- --ca-file=/etc/bucketmount/ca/{{ .root.Values.tls.caCertKey }}
{{- end }}
{{- with .settings.additionalArgs }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The environment that controller and node plugin share: the driver's own keys, the proxy. Takes a dict of root and settings. */}}
{{- define "bucketmount.pluginEnv" }}
{{- if .root.Values.kubeEvents }}
{{- /* For Events about the plugin itself. */}}
{{- range $name, $field := dict "POD_NAME" "name" "POD_NAMESPACE" "namespace" "POD_UID" "uid" }}
- name: {{ $name }}
  valueFrom:
    fieldRef:
      fieldPath: metadata.{{ $field }}
{{- end }}
{{- end }}
{{- with include "bucketmount.secretName" .root }}
{{- $keys := $.root.Values.secret.keys }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $keys.accessKeyID }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $keys.secretAccessKey }}
- name: AWS_SESSION_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: {{ $keys.sessionToken }}
      optional: true
{{- end }}
{{- with .root.Values.proxy }}
{{- if or .http_proxy .https_proxy }}
{{- with .http_proxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
- name: HTTPS_PROXY
  value: {{ default .http_proxy .https_proxy | quote }}
- name: NO_PROXY
  value: {{ printf "%s$(KUBERNETES_SERVICE_HOST),.svc,.cluster.local,localhost,127.0.0.1" (ternary (printf "%s," .no_proxy) "" (ne .no_proxy "")) | quote }}
{{- end }}
{{- end }}
{{- with .settings.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The volume of the certificate authorities, or nothing. */}}
{{- define "bucketmount.caVolume" }}
{{- if and .Values.tls.caCertConfigMap .Values.tls.caCertSecret }}
{{- fail "tls.caCertConfigMap and tls.caCertSecret: give one of them" }}
{{- end }}
{{- if .Values.tls.caCertConfigMap }}
- name: ca
  configMap:
    name: {{ .Values.tls.caCertConfigMap }}
{{- else if .Values.tls.caCertSecret }}
- name: ca
  secret:
    secretName: {{ .Values.tls.caCertSecret }}
{{- end }}
{{- end }}

{{- define "bucketmount.caMount" }}
{{- if include "bucketmount.caVolume" . }}
- name: ca
  mountPath: /etc/bucketmount/ca
  readOnly: true
{{- end }}
{{- end }}

{{/*
Annotations of a plugin's pods: new keys in the chart's own Secret start new pods. Only the beginning of the sum: who may see pods but not
secrets shall not be able to try passwords against it. Takes a dict of root and settings.
*/}}
{{- define "bucketmount.pluginPodAnnotations" }}
{{- if .root.Values.secret.create }}
checksum/secret: {{ printf "%q" (list .root.Values.secret.accessKeyID .root.Values.secret.secretAccessKey .root.Values.secret.sessionToken | toJson | sha256sum | trunc 6) }}
{{- end }}
{{- with merge (dict) .settings.podAnnotations .root.Values.commonAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end }}
