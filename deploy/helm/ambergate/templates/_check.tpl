{{/* (list SERVICE VALUES): refuses what could not run, or would lose or show something, in words. */}}
{{- define "ambergate.check" -}}
{{- $service := index . 0 -}}
{{- $v := index . 1 -}}
{{- $database := $v.database -}}
{{- $places := list -}}
{{- if $database.url }}{{ $places = append $places "database.url" }}{{ end -}}
{{- if $database.urlSecret.name }}{{ $places = append $places "database.urlSecret" }}{{ end -}}
{{- if $database.sqlite.enabled }}{{ $places = append $places "database.sqlite" }}{{ end -}}
{{- if ne (len $places) 1 -}}
{{- fail (printf "%s: its state is in one place: give one of database.url, database.urlSecret and database.sqlite; there is %s" $service (join " and " $places | default "none")) -}}
{{- end -}}
{{- if regexMatch "^[a-z]+://[^/?]*:[^/?]*@" $database.url -}}
{{- fail (printf "%s: database.url holds a password, and values are no place for one: put it into a Secret and name that in database.passwordSecret" $service) -}}
{{- end -}}
{{- if and (eq $service "keybroker") (regexMatch "^[a-z]+://[^/?]*:[^/?]*@" $v.versionKeys.url) -}}
{{- fail "keybroker: versionKeys.url holds a password, and values are no place for one: put it into a Secret and name that in versionKeys.passwordSecret" -}}
{{- end -}}
{{- if and (eq $service "keybroker") $v.versionKeys.passwordSecret.name (empty $v.versionKeys.url) -}}
{{- fail "keybroker: versionKeys.passwordSecret is for versionKeys.url, and there is none" -}}
{{- end -}}
{{- if $database.sqlite.enabled -}}
{{- if or $v.autoscaling.enabled (gt (int $v.replicas) 1) -}}
{{- fail (printf "%s: SQLite is for one pod, and replicas or autoscaling ask for more: give database.url of a PostgreSQL, or say replicas=1" $service) -}}
{{- end -}}
{{- if $database.passwordSecret.name -}}
{{- fail (printf "%s: database.passwordSecret is for PostgreSQL, and there is database.sqlite" $service) -}}
{{- end -}}
{{- end -}}
{{- $kek := $v.keyEncryptionKey -}}
{{- if eq (empty $kek.secret.name) (empty $kek.place) -}}
{{- fail (printf "%s: the key-encryption key is in one place: give keyEncryptionKey.secret.name, or keyEncryptionKey.place (pkcs11:... or shares:...)" $service) -}}
{{- end -}}
{{- if eq (empty $v.tls.secret) (not $v.tls.certManager.enabled) -}}
{{- fail (printf "%s: certificate and key come from one place: give tls.secret, or tls.certManager.enabled=true" $service) -}}
{{- end -}}
{{- if and $v.tls.certManager.enabled (or (empty $v.tls.certManager.issuer.name) (empty $v.tls.certManager.dnsNames)) -}}
{{- fail (printf "%s: cert-manager needs tls.certManager.issuer.name and tls.certManager.dnsNames, the names that clients connect to" $service) -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) -}}
{{- fail (printf "%s: autoscaling.minReplicas is more than autoscaling.maxReplicas" $service) -}}
{{- end -}}
{{- if and (eq $service "attestation") (empty $v.baseUrl) -}}
{{- fail "attestation: give attestation.baseUrl, https://host[:port][/path]: the issuer of its tokens, as clients and relying parties reach it" -}}
{{- end -}}
{{- if and (eq $service "keybroker") (empty $v.config.issuers) -}}
{{- fail "keybroker: give keybroker.config.issuers: whose tokens count is the operator's decision, and has no default" -}}
{{- end -}}
{{- end -}}
