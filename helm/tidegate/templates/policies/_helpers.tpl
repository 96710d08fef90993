{{/* The name of a policy and of its binding: dict "root" $ "name" "web-runs" */}}
{{- define "tidegate.policyName" -}}
{{ .root.Release.Namespace }}-{{ include "tidegate.fullname" .root }}-{{ .name }}
{{- end }}

{{/* The beginning of a policy, to which its matchConstraints and what follows are added: dict "root" $ "component" "web" "name" "web-runs" */}}
{{- define "tidegate.policy" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: {{ include "tidegate.policyName" . }}
  labels: {{ include "tidegate.labels" . | nindent 4 }}
spec:
  failurePolicy: Fail
{{- end }}

{{- define "tidegate.policyBinding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "tidegate.policyName" . }}
  labels: {{ include "tidegate.labels" . | nindent 4 }}
spec:
  policyName: {{ include "tidegate.policyName" . }}
  validationActions: [Deny]
{{- end }}

{{/* CEL: the user name of a service account of the release, quoted: dict "root" $ "component" "web" */}}
{{- define "tidegate.user" -}}
'system:serviceaccount:{{ .root.Release.Namespace }}:{{ include "tidegate.account" . }}'
{{- end }}

{{/* CEL: whether runs may be in the request's namespace. */}}
{{- define "tidegate.mayHaveRuns" -}}
{{- if .Values.namespaces -}}
request.namespace in {{ toJson .Values.namespaces }}
{{- else -}}
!request.namespace.startsWith('kube-') && request.namespace != '{{ .Release.Namespace }}'
{{- end }}
{{- end }}
