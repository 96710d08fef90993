{{/* Names: the release's own where it already says tidegate. */}}
{{- define "tidegate.fullname" -}}
{{- if contains "tidegate" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-tidegate" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* The release, in a word: an operator that meets another one's claim names it. */}}
{{- define "tidegate.release" -}}
{{ .Release.Namespace }}/{{ .Release.Name }}
{{- end }}

{{/* What a Service or Deployment selects by: dict "root" $ "component" "web" */}}
{{- define "tidegate.selector" -}}
app.kubernetes.io/name: tidegate
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "tidegate.labels" -}}
{{- $own := include "tidegate.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .root.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- include "tidegate.merged" (list $own .root.Values.commonLabels) -}}
{{- end }}

{{/* Prefix of all images: a parent chart's, or ours. */}}
{{- define "tidegate.registry" -}}
{{ (.Values.global | default dict).imageRegistry | default .Values.image.registry }}
{{- end }}

{{/* An image of ours: dict "root" $ "name" "web". A digest says more than a tag. */}}
{{- define "tidegate.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := get ($image.digests | default dict) .name -}}
{{ include "tidegate.registry" .root }}/tidegate/{{ .name }}{{ if $digest }}@{{ $digest }}{{ else }}:{{ get $image.tags .name | default $image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The image of a bundled store: dict "root" $ "component" "postgres" */}}
{{- define "tidegate.storeImage" -}}
{{- $image := (index .root.Values .component).image -}}
{{ include "tidegate.registry" .root }}/{{ $image.repository }}{{ if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag }}{{ end }}
{{- end }}

{{/* Whether pods name their user: "yes" or nothing. */}}
{{- define "tidegate.fixedUserIds" -}}
{{- if ne (toString .Values.fixedUserIds) "false" }}yes{{ end }}
{{- end }}

{{/* What makes a pod pass the `restricted` Pod Security level: dict "root" $ "uid" 65532 */}}
{{- define "tidegate.podSecurity" -}}
runAsNonRoot: true
{{- if include "tidegate.fixedUserIds" .root }}
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* Of which families the addresses of a Service are. */}}
{{- define "tidegate.serviceFamilies" -}}
{{- with .Values.services.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.services.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}

{{- define "tidegate.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* A generated password that stays what it was: dict "root" $ "name" secret "key" key "length" 24 */}}
{{- define "tidegate.kept" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- if and $found (hasKey ($found.data | default dict) .key) -}}
{{ index $found.data .key }}
{{- else -}}
{{ randAlphaNum (int .length) | b64enc }}
{{- end -}}
{{- end }}

{{- define "tidegate.adminSecret" -}}{{ .Values.admin.existingSecret | default (printf "%s-admin" (include "tidegate.fullname" .)) }}{{- end }}
{{- define "tidegate.webSecret" -}}{{ .Values.web.existingSecret | default (printf "%s-web" (include "tidegate.fullname" .)) }}{{- end }}
{{- define "tidegate.postgresSecret" -}}
{{- if .Values.postgres.bundled }}{{ .Values.postgres.existingSecret | default (printf "%s-postgres" (include "tidegate.fullname" .)) }}{{ else }}{{ .Values.postgres.external.existingSecret }}{{ end }}
{{- end }}
{{- define "tidegate.redisSecret" -}}
{{- if .Values.redis.bundled }}{{ .Values.redis.existingSecret | default (printf "%s-redis" (include "tidegate.fullname" .)) }}{{ else }}{{ .Values.redis.external.existingSecret }}{{ end }}
{{- end }}

{{/* Where Postgres is. */}}
{{- define "tidegate.databaseEnv" -}}
{{- $p := .Values.postgres -}}
{{- if and (not $p.bundled) $p.external.secretHasUrl }}
- name: TIDEGATE_DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ required "postgres.external.existingSecret is needed with secretHasUrl" $p.external.existingSecret }}, key: url}}
- name: TIDEGATE_DATABASE_DIRECT_URL
  valueFrom: {secretKeyRef: {name: {{ $p.external.existingSecret }}, key: direct-url, optional: true}}
{{- else }}
- name: TIDEGATE_DATABASE_URL
  value: {{ if $p.bundled }}postgresql://tidegate@{{ include "tidegate.fullname" . }}-postgres:5432/tidegate{{ if include "tidegate.tls" . }}?sslmode=verify-full&sslrootcert=/etc/tidegate/peers/postgres.crt{{ end }}{{ else }}{{ required "postgres.external.url is needed when postgres.bundled is false" $p.external.url }}{{ end }}
{{- if and (not $p.bundled) $p.external.directUrl }}
- {name: TIDEGATE_DATABASE_DIRECT_URL, value: {{ $p.external.directUrl | quote }}}
{{- end }}
{{- if include "tidegate.postgresSecret" . }}
- name: TIDEGATE_DATABASE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "tidegate.postgresSecret" . }}, key: password}}
{{- end }}
{{- end }}
{{- end }}

{{- define "tidegate.redisEnv" -}}
{{- $r := .Values.redis -}}
{{- if and (not $r.bundled) $r.external.secretHasUrl }}
- name: TIDEGATE_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ required "redis.external.existingSecret is needed with secretHasUrl" $r.external.existingSecret }}, key: url}}
{{- else }}
- name: TIDEGATE_REDIS_URL
  value: {{ if $r.bundled }}{{ if include "tidegate.tls" . }}rediss://{{ include "tidegate.fullname" . }}-redis:6379/0?ssl_ca_certs=/etc/tidegate/peers/redis.crt{{ else }}redis://{{ include "tidegate.fullname" . }}-redis:6379/0{{ end }}{{ else }}{{ required "redis.external.url is needed when redis.bundled is false" $r.external.url }}{{ end }}
{{- if include "tidegate.redisSecret" . }}
- name: TIDEGATE_REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "tidegate.redisSecret" . }}, key: password}}
{{- end }}
{{- end }}
{{- end }}

{{/* The address that people use: of an Ingress with TLS where none is named. */}}
{{- define "tidegate.publicUrl" -}}
{{- $i := .Values.ingress -}}
{{- if .Values.web.publicUrl }}{{ .Values.web.publicUrl }}{{ else if and $i.enabled $i.tlsSecret $i.host }}https://{{ $i.host }}{{ end }}
{{- end }}

{{/* Proxies whose X-Forwarded-For and X-Forwarded-Proto are taken: at least the Ingress controller, where there is an Ingress. */}}
{{- define "tidegate.trustedProxies" -}}
{{- if .Values.ingress.enabled }}{{ max 1 (int .Values.web.trustedProxies) }}{{ else }}{{ .Values.web.trustedProxies }}{{ end }}
{{- end }}

{{/* Who lets people in, beside or instead of passwords. */}}
{{- define "tidegate.signInEnv" -}}
{{- $s := .Values.signIn -}}
- {name: TIDEGATE_PASSWORDS, value: {{ $s.passwords | quote }}}
{{- if $s.oidc.discoveryUrl }}
- {name: TIDEGATE_OIDC_DISCOVERY_URL, value: {{ $s.oidc.discoveryUrl | quote }}}
- {name: TIDEGATE_OIDC_CLIENT_ID, value: {{ required "signIn.oidc.clientId is needed with discoveryUrl" $s.oidc.clientId | quote }}}
- {name: TIDEGATE_OIDC_LABEL, value: {{ $s.oidc.label | quote }}}
- {name: TIDEGATE_OIDC_SCOPES, value: {{ $s.oidc.scopes | quote }}}
- {name: TIDEGATE_OIDC_GROUPS_CLAIM, value: {{ $s.oidc.groupsClaim | quote }}}
{{- end }}
{{- range $name := list "google" "github" }}
{{- with (index $s $name).clientId }}
- {name: TIDEGATE_{{ upper $name }}_CLIENT_ID, value: {{ . | quote }}}
{{- end }}
{{- end }}
{{- range $name, $used := dict "oidc" $s.oidc.discoveryUrl "google" $s.google.clientId "github" $s.github.clientId }}
{{- if $used }}
- name: TIDEGATE_{{ upper $name }}_CLIENT_SECRET
  valueFrom: {secretKeyRef: {name: {{ required "signIn.existingSecret is needed with a provider" $s.existingSecret }}, key: {{ $name }}}}
{{- end }}
{{- end }}
- {name: TIDEGATE_OIDC_GROUP_ROLES, value: {{ $s.groupRoles | quote }}}
- {name: TIDEGATE_OIDC_SIGN_UP, value: {{ $s.signUp | quote }}}
- {name: TIDEGATE_OIDC_ALLOWED_DOMAINS, value: {{ join "," $s.allowedDomains | quote }}}
{{- end }}

{{- define "tidegate.mailEnv" -}}
{{- $m := .Values.mail -}}
{{- if $m.host }}
- {name: TIDEGATE_SMTP_HOST, value: {{ $m.host | quote }}}
- {name: TIDEGATE_SMTP_PORT, value: {{ $m.port | quote }}}
- {name: TIDEGATE_SMTP_SECURITY, value: {{ $m.security | quote }}}
- {name: TIDEGATE_SMTP_FROM, value: {{ required "mail.from is needed with mail.host" $m.from | quote }}}
{{- if $m.user }}
- {name: TIDEGATE_SMTP_USER, value: {{ $m.user | quote }}}
- name: TIDEGATE_SMTP_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ required "mail.existingSecret is needed with mail.user" $m.existingSecret }}, key: password}}
{{- end }}
{{- end }}
{{- end }}

{{/* Authorities that the web app trusts beside the system's: a variable, and the file that it names. */}}
{{- define "tidegate.trustedEnv" -}}
{{- if or .Values.trustedCA.configMap .Values.trustedCA.secret }}
- {name: TIDEGATE_CA_FILE, value: /etc/tidegate/ca/ca.crt}
{{- end }}
{{- end }}
{{- define "tidegate.trustedVolume" -}}
{{- with .Values.trustedCA }}
{{- $items := list (dict "key" .key "path" "ca.crt") }}
{{- if and .configMap .secret }}{{ fail "trustedCA: set one of configMap and secret" }}{{ end }}
{{- if .configMap }}
- {name: trusted-ca, configMap: {{ dict "name" .configMap "items" $items | toJson }}}
{{- else if .secret }}
- {name: trusted-ca, secret: {{ dict "secretName" .secret "items" $items | toJson }}}
{{- end }}
{{- end }}
{{- end }}
{{- define "tidegate.trustedVolumeMount" -}}
{{- if or .Values.trustedCA.configMap .Values.trustedCA.secret }}
- {name: trusted-ca, mountPath: /etc/tidegate/ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "tidegate.namespacesEnv" -}}
{{- with .Values.namespaces }}
- name: TIDEGATE_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}

{{/* Where the web app finds projects, and how it gets its rights in them. */}}
{{- define "tidegate.projectsEnv" -}}
{{- include "tidegate.namespacesEnv" . }}
- name: TIDEGATE_RELEASE_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- if include "tidegate.byProject" . }}
{{- $rights := list }}
{{- range $component := list "web" "mirror" }}
{{- $account := include "tidegate.account" (dict "root" $ "component" $component) }}
{{- $rights = append $rights (printf "%s=%s" $account (include "tidegate.wideName" (dict "root" $ "component" $component))) }}
{{- end }}
- {name: TIDEGATE_PROJECT_RIGHTS, value: {{ join "," $rights | quote }}}
{{- end }}
{{- end }}

{{/* What the archive keeps, which web shows and holds to as the mirror does. */}}
{{- define "tidegate.archiveEnv" -}}
{{- $a := .Values.archive -}}
{{- $most := ternary (ternary 4294967296 21474836480 .Values.postgres.bundled) $a.projectBytes (kindIs "invalid" $a.projectBytes) -}}
- {name: TIDEGATE_PROJECT_BYTES, value: {{ int64 $most | quote }}}
- {name: TIDEGATE_RETENTION_DAYS, value: {{ int64 $a.retentionDays | quote }}}
{{- end }}

{{/* Whether the web app has its rights in projects alone: "yes" or nothing. */}}
{{- define "tidegate.byProject" -}}
{{- if and .Values.web.enabled (not .Values.namespaces) (eq .Values.web.rights "projects") }}yes{{ end }}
{{- end }}

{{/* The ClusterRole of a part: dict "root" $ "component" "web" */}}
{{- define "tidegate.wideName" -}}
{{ .root.Release.Namespace }}-{{ include "tidegate.fullname" .root }}-{{ .component }}
{{- end }}

{{/* Rights in the watched namespaces: a ClusterRole that is bound in all of them, or with "byProject" in those that the mirror
binds it in; a Role in each that is listed: dict "root" $ "component" "web" "rules" yaml "byProject" "yes" */}}
{{- define "tidegate.rights" -}}
{{- $name := printf "%s-%s" (include "tidegate.fullname" .root) .component -}}
{{- $account := include "tidegate.account" . -}}
{{- $wide := include "tidegate.wideName" . -}}
{{- $labels := include "tidegate.labels" . -}}
{{- $rules := .rules -}}
{{- $root := .root -}}
{{- range .root.Values.namespaces }}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels: {{ $labels | nindent 4 }}
rules: {{ $rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels: {{ $labels | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
- {kind: ServiceAccount, name: {{ $account }}, namespace: {{ $root.Release.Namespace }}}
---
{{- else }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ $wide }}
  labels: {{ $labels | nindent 4 }}
rules: {{ $rules | nindent 2 }}
---
{{- if not .byProject }}
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ $wide }}
  labels: {{ $labels | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ $wide }}}
subjects:
- {kind: ServiceAccount, name: {{ $account }}, namespace: {{ .root.Release.Namespace }}}
---
{{- end }}
{{- end }}
{{ include "tidegate.accountObject" . }}
{{- end }}

{{/* The Secret with the certificate of the dispatch port. */}}
{{- define "tidegate.dispatchSecret" -}}
{{ .Values.pools.existingSecret | default (printf "%s-dispatch" (include "tidegate.fullname" .)) }}
{{- end }}
