{{/* Values as TOML: a string of JSON is one of TOML, but for DEL; NEL would be a line break to YAML. */}}

{{/* Any value on one line: tables inline. */}}
{{- define "ambergate.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key | toJson }} = {{ include "ambergate.toml.value" (index $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $value := . }}{{ if $index }}, {{ end }}{{ include "ambergate.toml.value" $value }}{{ end -}}]
{{- else -}}
{{- toJson . | replace "\u007f" "\\u007f" | replace "\u0085" "\\u0085" -}}
{{- end -}}
{{- end -}}

{{/* The members of a table, a line each; what is null is left out. */}}
{{- define "ambergate.toml.members" -}}
{{- range $key := keys . | sortAlpha }}
{{- if not (kindIs "invalid" (index $ $key)) }}
{{ $key }} = {{ include "ambergate.toml.value" (index $ $key) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A whole document: a map of tables, lists of tables and plain values. */}}
{{- define "ambergate.toml" -}}
{{- range $key := keys . | sortAlpha }}
{{- $value := index $ $key }}
{{- if not (or (kindIs "map" $value) (kindIs "slice" $value) (kindIs "invalid" $value)) }}
{{ $key }} = {{ include "ambergate.toml.value" $value }}
{{- end }}
{{- end }}
{{- range $key := keys . | sortAlpha }}
{{- $value := index $ $key }}
{{- if kindIs "map" $value }}
[{{ $key }}]
{{- include "ambergate.toml.members" $value }}
{{- else if kindIs "slice" $value }}
{{- range $value }}
[[{{ $key }}]]
{{- include "ambergate.toml.members" . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* (list SERVICE VALUES): the service's configuration: what the values say, and above it what the chart has to say itself. */}}
{{- define "ambergate.config" -}}
{{- $service := index . 0 -}}
{{- $v := index . 1 -}}
{{- $store := dict "key_encryption_key" ($v.keyEncryptionKey.place | default (printf "/run/ambergate/kek/%s" $v.keyEncryptionKey.secret.key)) -}}
{{- if $v.database.sqlite.enabled -}}
{{- $store = set $store "database" (printf "/var/lib/ambergate/%s.sqlite" $service) -}}
{{- else if $v.database.url -}}
{{- $url := $v.database.url -}}
{{- with $v.database.caConfigMap -}}
{{- if .name -}}{{- $url = printf "%s%ssslrootcert=/run/ambergate/database-ca/%s" $url (ternary "&" "?" (contains "?" $url)) .key -}}{{- end -}}
{{- end -}}
{{- $store = set $store "database" $url -}}
{{- end -}}
{{- if $v.database.passwordSecret.name -}}
{{- $store = set $store "password" (dict "file" (printf "/run/ambergate/database/%s" $v.database.passwordSecret.key)) -}}
{{- end -}}
{{- if and (eq $service "keybroker") $v.versionKeys.url -}}
{{- $store = set $store "version_keys" $v.versionKeys.url -}}
{{- with $v.versionKeys.passwordSecret -}}
{{- if .name -}}{{- $store = set $store "version_keys_password" (dict "file" (printf "/run/ambergate/version-keys/%s" .key)) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- $tls := dict "certificate" "/run/ambergate/tls/tls.crt" "key" "/run/ambergate/tls/tls.key" -}}
{{- $ours := dict
  "listen" (merge (dict "host" $v.listenHost "port" $v.port "workers" $v.workers) $tls)
  "store" $store
  "audit" (dict "checkpoint" "/var/lib/ambergate/audit.checkpoint") -}}
{{- if $v.metrics.enabled -}}
{{- $ours = set $ours "metrics" (merge (dict "host" $v.listenHost "port" $v.metrics.port) $tls) -}}
{{- end -}}
{{- if eq $service "attestation" -}}
{{- $ours = set $ours "base_url" $v.baseUrl -}}
{{- else -}}
{{- $ours = set $ours "admin" (dict "port" $v.admin.port "host" (ternary $v.listenHost "127.0.0.1" $v.admin.exposed)) -}}
{{- end -}}
{{- include "ambergate.toml" (fromJson (include "ambergate.laid" (list (deepCopy $v.config) $ours))) | trim -}}
{{- end -}}
