{{/* Peers of NetworkPolicies, as JSON lists: what isn't in the cluster can be named by its network alone. */}}

{{/* Everywhere but where a cloud hands out credentials: root. Pods are named too, as some plugins don't count them to a network. */}}
{{- define "tidegate.anywhere" -}}
{{- $peers := list (dict "namespaceSelector" dict) -}}
{{- range include "tidegate.networks" (dict "closed" .Values.networkPolicy.closed) | fromJsonArray }}{{ $peers = append $peers . }}{{ end -}}
{{ toJson $peers }}
{{- end }}

{{/* Public addresses alone, and those that a NAT64 gateway makes of public ones of IPv4: root. Of IPv6 they are 2000::/3. */}}
{{- define "tidegate.publicNetworks" -}}
{{- $private := list "10.0.0.0/8" "100.64.0.0/10" "127.0.0.0/8" "169.254.0.0/16" "172.16.0.0/12" "192.168.0.0/16" -}}
{{- $translated := list "64:ff9b::a00:0/104" "64:ff9b::6440:0/106" "64:ff9b::7f00:0/104" "64:ff9b::a9fe:0/112" "64:ff9b::ac10:0/108" "64:ff9b::c0a8:0/112" "64:ff9b::a83f:8110/128" "64:ff9b::c000:c0/128" -}}
{{- $four := $private }}{{ $six := list -}}
{{- range .Values.networkPolicy.closed }}
{{- if not (contains ":" .) }}{{ $four = append $four . }}{{ else if regexMatch "^[23][0-9a-fA-F]{3}:" . }}{{ $six = append $six . }}{{ end }}
{{- end -}}
{{- $peers := list -}}
{{- range list (dict "cidr" "0.0.0.0/0" "except" ($four | uniq)) (dict "cidr" "2000::/3" "except" $six) (dict "cidr" "64:ff9b::/96" "except" $translated) }}
{{- $peers = append $peers (dict "ipBlock" .) }}
{{- end -}}
{{ toJson $peers }}
{{- end }}

{{- define "tidegate.networks" -}}
{{- $four := list }}{{ $six := list }}
{{- range .closed }}{{ if contains ":" . }}{{ $six = append $six . }}{{ else }}{{ $four = append $four . }}{{ end }}{{ end -}}
{{- $all := list (dict "cidr" "0.0.0.0/0" "except" $four) (dict "cidr" "::/0" "except" $six) -}}
{{- $peers := list }}{{ range $all }}{{ $peers = append $peers (dict "ipBlock" .) }}{{ end -}}
{{ toJson $peers }}
{{- end }}

{{/* The ports in the addresses of a URL, which may be several, as a JSON list: dict "url" "…" "default" 5432 */}}
{{- define "tidegate.urlPorts" -}}
{{- $ports := list -}}
{{- $rest := regexReplaceAll "^[a-z0-9+]*://" .url "" -}}
{{- $query := regexFindAll "[?&]port=[0-9,]+" $rest -1 -}}
{{- $hosts := regexReplaceAll "^.*@" (regexReplaceAll "[/?].*$" $rest "") "" -}}
{{- $default := .default -}}
{{- range splitList "," $hosts }}
{{- $found := regexFind ":[0-9]+$" . -}}
{{- $ports = append $ports (trimPrefix ":" $found | default $default | int) -}}
{{- end -}}
{{- range $query }}{{ range regexFindAll "[0-9]+" . -1 }}{{ $ports = append $ports (int .) }}{{ end }}{{ end -}}
{{ $ports | uniq | toJson }}
{{- end }}

{{/* One rule of egress over TCP: dict "root" $ "ports" list "to" list. Without `to` it leads everywhere; without ports to all. */}}
{{- define "tidegate.leadsTo" -}}
{{- $rule := dict "to" (.to | default (include "tidegate.anywhere" .root | fromJsonArray)) -}}
{{- $ports := list }}{{ range .ports }}{{ $ports = append $ports (dict "protocol" "TCP" "port" (int .)) }}{{ end -}}
{{- if $ports }}{{ $_ := set $rule "ports" $ports }}{{ end -}}
{{ toJson $rule }}
{{- end }}

{{/* Of pods of the release: dict "root" $ "component" "redis" "port" 6379 */}}
{{- define "tidegate.leadsToPart" -}}
{{- $pods := dict "podSelector" (dict "matchLabels" (include "tidegate.selector" . | fromYaml)) -}}
{{ include "tidegate.leadsTo" (dict "root" .root "ports" (list .port) "to" (list $pods)) }}
{{- end }}

{{/* Names are asked of whoever the node's configuration names, which may be no pod: root. */}}
{{- define "tidegate.leadsToNames" -}}
{{- $dns := .Values.networkPolicy.dns -}}
{{- $ports := list -}}
{{- range $port := $dns.ports }}{{ range list "UDP" "TCP" }}{{ $ports = append $ports (dict "protocol" . "port" (int $port)) }}{{ end }}{{ end -}}
{{- $rule := dict "ports" $ports }}{{ with $dns.to }}{{ $_ := set $rule "to" . }}{{ end -}}
{{ toJson $rule }}
{{- end }}

{{/* The apiserver is no pod, and some plugins don't count nodes to a network: without `to` its ports are open alone: root. */}}
{{- define "tidegate.leadsToApiserver" -}}
{{- $to := .Values.networkPolicy.apiserver.to -}}
{{- $rule := include "tidegate.leadsTo" (dict "root" . "ports" .Values.networkPolicy.apiserver.ports "to" $to) | fromJson -}}
{{- if not $to }}{{ $_ := unset $rule "to" }}{{ end -}}
{{ toJson $rule }}
{{- end }}

{{/* A store of the release, or one elsewhere: dict "root" $ "name" "postgres" "default" 5432 */}}
{{- define "tidegate.leadsToStore" -}}
{{- $store := index .root.Values .name -}}
{{- $given := index .root.Values.networkPolicy .name -}}
{{- if $store.bundled -}}
{{ include "tidegate.leadsToPart" (dict "root" .root "component" .name "port" .default) }}
{{- else -}}
{{- $ports := $given.ports -}}
{{- if and (not $ports) (not $store.external.secretHasUrl) -}}
{{- range list $store.external.url ($store.external.directUrl | default "") }}
{{- if . }}{{ $ports = concat ($ports | default list) (include "tidegate.urlPorts" (dict "url" . "default" $.default) | fromJsonArray) }}{{ end -}}
{{- end -}}
{{- /* Sentinels say where the server is. */ -}}
{{- if contains "+sentinel://" $store.external.url }}{{ $ports = append $ports .default }}{{ end -}}
{{- end -}}
{{ include "tidegate.leadsTo" (dict "root" .root "ports" ($ports | uniq) "to" $given.to) }}
{{- end }}
{{- end }}

{{/* Proxies that a part is told of: dict "root" $ "component" "web" */}}
{{- define "tidegate.proxyPorts" -}}
{{- $part := index .root.Values .component | default dict -}}
{{- $ports := list -}}
{{- range $part.extraEnv }}
{{- if and (regexMatch "(?i)^(http|https|all)_proxy$" .name) .value }}
{{- $ports = concat $ports (include "tidegate.urlPorts" (dict "url" (toString .value) "default" 80) | fromJsonArray) }}
{{- end }}
{{- end -}}
{{ $ports | uniq | toJson }}
{{- end }}

{{/* All that a part connects to, as a JSON list of rules: dict "root" $ "component" "web" */}}
{{- define "tidegate.egress" -}}
{{- $root := .root }}{{ $values := .root.Values }}{{ $component := .component -}}
{{- $rules := list (include "tidegate.leadsToNames" $root | fromJson) -}}
{{- if ne $component "migrate" }}{{ $rules = append $rules (include "tidegate.leadsToApiserver" $root | fromJson) }}{{ end -}}
{{- if has $component (list "web" "live" "mirror" "migrate" "test") }}
{{- $rules = append $rules (include "tidegate.leadsToStore" (dict "root" $root "name" "postgres" "default" 5432) | fromJson) }}
{{- end -}}
{{- if has $component (list "web" "live" "mirror" "test") }}
{{- $rules = append $rules (include "tidegate.leadsToStore" (dict "root" $root "name" "redis" "default" 6379) | fromJson) }}
{{- end -}}
{{- if eq $component "web" }}
{{- $rules = append $rules (include "tidegate.leadsToPart" (dict "root" $root "component" "operator" "port" 8081) | fromJson) }}
{{- $ports := list -}}
{{- with $values.signIn.oidc.discoveryUrl }}{{ $ports = include "tidegate.urlPorts" (dict "url" . "default" (ternary 80 443 (hasPrefix "http://" .))) | fromJsonArray }}{{ end -}}
{{- if or $values.signIn.google.clientId $values.signIn.github.clientId }}{{ $ports = append $ports 443 }}{{ end -}}
{{- if $values.mail.host }}{{ $ports = append $ports (int $values.mail.port) }}{{ end -}}
{{- if $ports }}{{ $rules = append $rules (include "tidegate.leadsTo" (dict "root" $root "ports" ($ports | uniq)) | fromJson) }}{{ end -}}
{{- end -}}
{{- if eq $component "test" }}
{{- range ternary (list "web" "live") (list "web") $values.live.separate }}
{{- $rules = append $rules (include "tidegate.leadsToPart" (dict "root" $root "component" . "port" 8080) | fromJson) }}
{{- end }}
{{- end -}}
{{- if eq $component "mirror" }}
{{- /* Receivers of webhooks, at any port. */}}
{{- $to := include "tidegate.publicNetworks" $root | fromJsonArray -}}
{{- range $values.webhooks.allow }}{{ $to = append $to (dict "ipBlock" (dict "cidr" .)) }}{{ end -}}
{{- $rules = append $rules (include "tidegate.leadsTo" (dict "root" $root "to" $to) | fromJson) }}
{{- end -}}
{{- with include "tidegate.proxyPorts" . | fromJsonArray }}{{ $rules = append $rules (include "tidegate.leadsTo" (dict "root" $root "ports" .) | fromJson) }}{{ end -}}
{{ concat $rules $values.networkPolicy.egressTo | toJson }}
{{- end }}
