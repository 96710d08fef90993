"""The ValidatingAdmissionPolicy that comes with the CRDs: it guards a run's spec, and what a CRD's own rules can't compare.

In a CRD, CEL sees only the typed part of an object: of two untyped values it compares just the keys that both have, so
that `{x: 1}` could become `{y: 999}`. A ValidatingAdmissionPolicy sees the objects whole. And the apiserver evaluates a CRD's rules
for each write of a status, which is most of what a run costs it; a policy can leave those writes alone.
"""

from typing import Any

from tidegate_api.names import GROUP, TERMINAL_PHASES, VERSION
from tidegate_api.taskrun import fixed_fields

POLICY = f"taskruns.{GROUP}"


def build_admission_policy() -> list[dict[str, Any]]:
    """The policy and its binding, as manifests."""
    phases = ", ".join(repr(str(p)) for p in sorted(TERMINAL_PHASES))
    validations = [
        {
            "expression": f"has(object.spec.{field}) == has(oldObject.spec.{field})"
            f" && (!has(object.spec.{field}) || object.spec.{field} == oldObject.spec.{field})",
            "message": f"spec.{field} is immutable: create another TaskRun",
            "reason": "Invalid",
        }
        for field in fixed_fields()
    ]
    validations.append(
        {
            "expression": "!has(oldObject.spec.cancel) || !oldObject.spec.cancel"
            " || (has(object.spec.cancel) && object.spec.cancel)",
            "message": "cancel never goes back to false",
            "reason": "Invalid",
        }
    )
    validations.append(
        {
            "expression": "!has(oldObject.status) || !has(oldObject.status.phase)"
            f" || !(oldObject.status.phase in [{phases}])"
            " || (has(object.status) && has(object.status.result) == has(oldObject.status.result)"
            " && (!has(object.status.result) || object.status.result == oldObject.status.result))",
            "message": "a finished run keeps its result",
            "reason": "Invalid",
        }
    )
    labels = {"app.kubernetes.io/name": "tidegate", "app.kubernetes.io/component": "crds"}
    annotations = {"helm.sh/resource-policy": "keep"}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": POLICY, "labels": labels, "annotations": annotations},
            "spec": {
                "failurePolicy": "Fail",
                "matchConstraints": {
                    "resourceRules": [
                        {
                            "apiGroups": [GROUP],
                            "apiVersions": [VERSION],
                            "operations": ["UPDATE"],
                            "resources": ["taskruns", "taskruns/status"],
                        }
                    ]
                },
                # Most updates are of the status of a run that goes on: nothing to guard there, and each rule costs.
                "matchConditions": [
                    {
                        "name": "spec-or-finished",
                        "expression": "!has(request.subResource) || request.subResource != 'status' || (has(oldObject.status)"
                        f" && has(oldObject.status.phase) && oldObject.status.phase in [{phases}])",
                    }
                ],
                "validations": validations,
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": POLICY, "labels": labels, "annotations": annotations},
            "spec": {"policyName": POLICY, "validationActions": ["Deny"]},
        },
    ]
