{{/* (list ROOT SERVICE VALUES): what the init container and the container have in common. */}}
{{- define "ambergate.container" -}}
{{- $service := index . 1 -}}
{{- $v := index . 2 -}}
{{- $prefix := printf "AMBER_%s__" (upper $service) -}}
image: {{ include "ambergate.image" . | quote }}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
resources:
  {{- toYaml $v.resources | nindent 2 }}
{{- if or $v.database.urlSecret.name $v.env }}
env:
  {{- with $v.database.urlSecret }}
  {{- if .name }}
  - name: {{ $prefix }}STORE__DATABASE_FILE
    value: /run/ambergate/database-url/{{ .key }}
  {{- end }}
  {{- end }}
  {{- with $v.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
volumeMounts:
  - name: config
    mountPath: /etc/ambergate
    readOnly: true
  - name: state
    mountPath: /var/lib/ambergate
  - name: tmp
    mountPath: /tmp
  - name: tls
    mountPath: /run/ambergate/tls
    readOnly: true
  {{- if $v.keyEncryptionKey.secret.name }}
  - name: kek
    mountPath: /run/ambergate/kek
    readOnly: true
  {{- end }}
  {{- if $v.database.urlSecret.name }}
  - name: database-url
    mountPath: /run/ambergate/database-url
    readOnly: true
  {{- end }}
  {{- if $v.database.passwordSecret.name }}
  - name: database
    mountPath: /run/ambergate/database
    readOnly: true
  {{- end }}
  {{- if and (eq $service "keybroker") $v.versionKeys.passwordSecret.name }}
  - name: version-keys
    mountPath: /run/ambergate/version-keys
    readOnly: true
  {{- end }}
  {{- if $v.database.caConfigMap.name }}
  - name: database-ca
    mountPath: /run/ambergate/database-ca
    readOnly: true
  {{- end }}
  {{- range $v.files }}
  - name: file-{{ .name }}
    mountPath: /run/ambergate/files/{{ .name }}
    readOnly: true
  {{- end }}
{{- end -}}

{{/* (list ROOT SERVICE VALUES): the volumes. 288 is 0440: root's, and the pod's own group may read. */}}
{{- define "ambergate.volumes" -}}
{{- $v := index . 2 -}}
- name: config
  configMap:
    name: {{ include "ambergate.name" . }}
- name: state
  {{- if $v.database.sqlite.enabled }}
  persistentVolumeClaim:
    claimName: {{ $v.database.sqlite.existingClaim | default (include "ambergate.name" .) }}
  {{- else }}
  # The state is in PostgreSQL; here is the last checkpoint of the audit log, which lives as long as the pod.
  emptyDir: {sizeLimit: 64Mi}
  {{- end }}
- name: tmp
  emptyDir: {medium: Memory, sizeLimit: 64Mi}
- name: tls
  secret:
    secretName: {{ include "ambergate.tlsSecret" . }}
    defaultMode: 288
{{- with $v.keyEncryptionKey.secret }}
{{- if .name }}
- name: kek
  secret:
    secretName: {{ .name }}
    defaultMode: 288
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- with $v.database.urlSecret }}
{{- if .name }}
- name: database-url
  secret:
    secretName: {{ .name }}
    defaultMode: 288
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- with $v.database.passwordSecret }}
{{- if .name }}
- name: database
  secret:
    secretName: {{ .name }}
    defaultMode: 288
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- if eq (index . 1) "keybroker" }}
{{- with $v.versionKeys.passwordSecret }}
{{- if .name }}
- name: version-keys
  secret:
    secretName: {{ .name }}
    defaultMode: 288
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- end }}
{{- with $v.database.caConfigMap }}
{{- if .name }}
- name: database-ca
  configMap:
    name: {{ .name }}
    items: [{key: {{ .key }}, path: {{ .key }}}]
{{- end }}
{{- end }}
{{- range $v.files }}
- name: file-{{ .name }}
  {{- if .secret }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 288
  {{- else }}
  configMap:
    name: {{ .configMap }}
  {{- end }}
{{- end }}
{{- end -}}
