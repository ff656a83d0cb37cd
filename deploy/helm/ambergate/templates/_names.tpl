{{/* Names, labels, and the values of one service: `defaults` with what the service says itself laid over them. */}}

{{/* The services that are installed, as a JSON array. */}}
{{- define "ambergate.services" -}}
{{- $names := list -}}
{{- range $name := list "attestation" "keybroker" -}}
{{- if (index $.Values $name).enabled -}}{{- $names = append $names $name -}}{{- end -}}
{{- end -}}
{{- if not $names -}}{{- fail "nothing is enabled: say attestation.enabled=true, keybroker.enabled=true, or both" -}}{{- end -}}
{{- toJson $names -}}
{{- end -}}

{{/* (list BASE OVER): OVER laid over BASE, tables into tables, as JSON. Unlike mergeOverwrite it takes `false` and 0 for what they say. */}}
{{- define "ambergate.laid" -}}
{{- $base := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (index $base $key)) -}}
{{- $base = set $base $key (fromJson (include "ambergate.laid" (list (index $base $key) $value))) -}}
{{- else -}}
{{- $base = set $base $key $value -}}
{{- end -}}
{{- end -}}
{{- toJson $base -}}
{{- end -}}

{{/* (list ROOT SERVICE): the service's values, checked. */}}
{{- define "ambergate.values" -}}
{{- $root := index . 0 -}}
{{- $service := index . 1 -}}
{{- $values := fromJson (include "ambergate.laid" (list (deepCopy $root.Values.defaults) (index $root.Values $service))) -}}
{{- include "ambergate.check" (list $service $values) -}}
{{- toJson $values -}}
{{- end -}}

{{/* (list ROOT SERVICE): the name of the service's objects. */}}
{{- define "ambergate.name" -}}
{{- printf "%s-%s" ((index . 0).Release.Name | trunc 40 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/* (list ROOT SERVICE): what selects the service's pods. These never change. */}}
{{- define "ambergate.selector" -}}
app.kubernetes.io/name: ambergate
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ambergate.labels" -}}
{{ include "ambergate.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end -}}

{{/* (list ROOT SERVICE VALUES): image by digest if there is one, else by tag. */}}
{{- define "ambergate.image" -}}
{{- $image := (index . 0).Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end -}}
ambergate-{{ index . 1 -}}
{{- with (index . 2).digest }}@{{ . }}{{ else }}:{{ $image.tag | default (index $ 0).Chart.AppVersion }}{{ end -}}
{{- end -}}

{{/* The program in the images of deploy/container. */}}
{{- define "ambergate.program" -}}
/opt/ambergate/bin/amber
{{- end -}}

{{/* The configuration's file of a service. */}}
{{- define "ambergate.file" -}}
/etc/ambergate/{{ ternary "broker.toml" "attestation.toml" (eq . "keybroker") }}
{{- end -}}

{{/* (list ROOT SERVICE VALUES): the Secret of certificate and key. */}}
{{- define "ambergate.tlsSecret" -}}
{{- (index . 2).tls.secret | default (printf "%s-tls" (include "ambergate.name" .)) -}}
{{- end -}}
