{{/* Without the operator of Prometheus there is nobody who reads a PodMonitor or a PrometheusRule. This fails, and doesn't leave the
object out: who has asked for alerts and gets none learns of it in the outage. `helm template` and some GitOps tools have no cluster
to ask, hence the hint. Whoever has another monitoring leaves the value off. */}}
{{- define "tidegate.needsPrometheusOperator" -}}
{{- if not (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") }}
{{- fail (printf "%s is true and the cluster doesn't serve monitoring.coreos.com/v1: install the CRDs of prometheus-operator first, or set it to false; without a cluster pass --api-versions monitoring.coreos.com/v1" .value) }}
{{- end }}
{{- end }}

{{/* An expression that asks for the metrics of this release alone: dict "root" . "expr" "absent(tidegate_leader == 1)". */}}
{{- define "tidegate.ofRelease" -}}
{{- $selector := printf "release=%q" (include "tidegate.release" .root) }}
{{- $selected := regexReplaceAll "(tidegate_[a-z_]+)\\{" .expr (printf "${1}{%s, " $selector) }}
{{- regexReplaceAll "(tidegate_[a-z_]+)([^a-z_{]|$)" $selected (printf "${1}{%s}${2}" $selector) }}
{{- end }}
