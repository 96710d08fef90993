{{/* Options that every part of the release has, whatever it runs. Each include takes dict "root" $ "component" "web". */}}

{{/* Labels and annotations of a Deployment, StatefulSet or Job. */}}
{{- define "tidegate.workloadMetadata" -}}
{{- $own := index .root.Values .component | default dict -}}
labels: {{ include "tidegate.merged" (list (include "tidegate.labels" . | fromYaml) $own.labels) | nindent 2 }}
{{- with $own.annotations }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels and annotations of its pods. What is selected by stays what it is. */}}
{{- define "tidegate.podMetadata" -}}
{{- $own := index .root.Values .component | default dict -}}
labels: {{ include "tidegate.merged" (list (include "tidegate.labels" . | fromYaml) $own.podLabels .root.Values.podLabels) | nindent 2 }}
{{- with include "tidegate.merged" (list $own.podAnnotations .root.Values.podAnnotations) | fromYaml }}
annotations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Maps as one, the first that has a key wins: a list of maps, of which some may be nil. */}}
{{- define "tidegate.merged" -}}
{{- $made := dict -}}
{{- range . }}{{ $made = merge $made (. | default dict) }}{{ end -}}
{{- toYaml $made -}}
{{- end }}

{{/* Where its pods go, and with what right of way. A part's own option stands in place of the one for all. */}}
{{- define "tidegate.podCommon" -}}
{{- $all := .root.Values -}}
{{- $own := index $all .component | default dict -}}
# Links to services would become variables such as TIDEGATE_PORT, which are settings.
enableServiceLinks: false
{{- with concat ($all.image.pullSecrets | default list) (include "tidegate.globalPullSecrets" .root | fromYamlArray) }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- range $option := list "nodeSelector" "tolerations" "affinity" }}
{{- with index $own $option | default (index $all $option) }}
{{ $option }}: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- with $own.topologySpreadConstraints | default $all.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
{{- $spread := dict "labelSelector" (dict "matchLabels" (include "tidegate.selector" $ | fromYaml)) }}
- {{ toYaml (merge (deepCopy .) $spread) | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- with $own.priorityClassName | default $all.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Pull secrets as a parent chart gives them: names, or objects with a name. */}}
{{- define "tidegate.globalPullSecrets" -}}
{{- range ((.Values.global | default dict).imagePullSecrets | default list) }}
- {name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}}
{{- end }}
{{- end }}

{{/* Seconds that its pods get to end: also "default" 30 */}}
{{- define "tidegate.gracePeriod" -}}
{{ (index .root.Values .component | default dict).terminationGracePeriodSeconds | default .default | int64 }}
{{- end }}

{{/* The service account of its pods, which may be one's own. */}}
{{- define "tidegate.account" -}}
{{- $own := (index .root.Values .component | default dict).serviceAccount | default dict -}}
{{ $own.name | default (printf "%s-%s" (include "tidegate.fullname" .root) .component) }}
{{- end }}

{{/* The same as an object, where it isn't one's own. */}}
{{- define "tidegate.accountObject" -}}
{{- $own := (index .root.Values .component | default dict).serviceAccount | default dict -}}
{{- if not $own.name }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "tidegate.account" . }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{ include "tidegate.labels" . | nindent 4 }}
  {{- with $own.annotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Variables of its container: also "own" yaml. Of two with one name the later stays, in the place of the first: no name may
stand twice where the apiserver merges lists by it. */}}
{{- define "tidegate.env" -}}
{{- $part := index .root.Values .component | default dict -}}
{{- $settings := list -}}
{{- range $name, $value := $part.env }}{{ $settings = append $settings (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- $names := list -}}
{{- $found := dict -}}
{{- range concat (.own | fromYamlArray) $settings ($part.extraEnv | default list) }}
{{- if not (hasKey $found .name) }}{{ $names = append $names .name }}{{ end }}
{{- $_ := set $found .name . }}
{{- end }}
{{- range $names }}
- {{ toYaml (get $found .) | nindent 2 | trim }}
{{- end }}
{{- end }}

{{/* The rest of its container that can be set: also "probes" yaml, of which each key can be overwritten. */}}
{{- define "tidegate.containerOptions" -}}
{{- $part := index .root.Values .component | default dict -}}
{{- with $part.extraEnvFrom }}
envFrom: {{ toYaml . | nindent 2 }}
{{- end }}
{{- range $name, $probe := .probes | fromYaml }}
{{ $name }}: {{ toYaml (mergeOverwrite $probe (index $part $name | default dict)) | nindent 2 }}
{{- end }}
{{- with $part.lifecycle }}
lifecycle: {{ toYaml . | nindent 2 }}
{{- end }}
resources: {{ toYaml ($part.resources | default dict) | nindent 2 }}
securityContext: {{ include "tidegate.containerSecurity" . | nindent 2 }}
{{- end }}

{{/* Further volumes, and where its container has them. */}}
{{- define "tidegate.extraVolumes" -}}
{{- with (index .root.Values .component | default dict).extraVolumes }}
{{- toYaml . }}
{{- end }}
{{- end }}
{{- define "tidegate.extraVolumeMounts" -}}
{{- with (index .root.Values .component | default dict).extraVolumeMounts }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* How its pods are replaced: also "default" yaml */}}
{{- define "tidegate.strategy" -}}
{{- toYaml ((index .root.Values .component | default dict).strategy | default (.default | fromYaml)) -}}
{{- end }}
