"""How the control plane's fake node behaves: kwok stages, so that pods live and die without containers.

Annotations of a pod steer it, or labels where an annotation can't be set (FAKE + name):
  hold       any value: stay Running although pods complete by themselves
  waiting    a reason such as ImagePullBackOff: stay Pending with that reason
  exit-code  end with this code, Succeeded for 0 and Failed for others
  message    the termination message
  reason     why the containers ended, such as OOMKilled
  duration   end only this long after the start, e.g. 1.5s
A pod on the node is also ended by its activeDeadlineSeconds, as by a kubelet.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

FAKE = "fake.tidegate.dev/"

_RUNNING = """
phase: Running
startTime: {{ Now | Quote }}
conditions:
- {type: Initialized, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: Ready, status: "True", lastTransitionTime: {{ Now | Quote }}}
- {type: ContainersReady, status: "True", lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ $uid := .metadata.uid }}
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: true
  started: true
  restartCount: 0
  containerID: fake://{{ $uid }}{{ .name }}
  state: {running: {startedAt: {{ Now | Quote }}}}
{{ end }}
hostIP: {{ NodeIPWith .spec.nodeName | Quote }}
podIP: {{ PodIPWith .spec.nodeName false .metadata.uid .metadata.name .metadata.namespace | Quote }}
"""

_WAITING = """
phase: Pending
startTime: {{ Now | Quote }}
containerStatuses:
{{ $annotations := or .metadata.annotations dict }}
{{ $labels := or .metadata.labels dict }}
{{ $reason := or (index $annotations "fake.tidegate.dev/waiting") (index $labels "fake.tidegate.dev/waiting") }}
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state: {waiting: {reason: {{ $reason | Quote }}, message: "fake: {{ $reason }}"}}
{{ end }}
"""

_ENDED = """
{{ $annotations := or .metadata.annotations dict }}
{{ $labels := or .metadata.labels dict }}
{{ $code := CODE }}
phase: {{ if eq $code "0" }}Succeeded{{ else }}Failed{{ end }}
REASON
conditions:
- {type: Ready, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
- {type: ContainersReady, status: "False", reason: PodCompleted, lastTransitionTime: {{ Now | Quote }}}
containerStatuses:
{{ $started := or .status.startTime Now }}
{{ $usual := "Error" }}
{{ if eq $code "0" }}{{ $usual = "Completed" }}{{ end }}
{{ range .spec.containers }}
- name: {{ .name | Quote }}
  image: {{ .image | Quote }}
  imageID: ""
  ready: false
  started: false
  restartCount: 0
  state:
    terminated:
      exitCode: {{ $code }}
      reason: {{ or (index $annotations "fake.tidegate.dev/reason") (index $labels "fake.tidegate.dev/reason") $usual | Quote }}
      message: {{ or (index $annotations "fake.tidegate.dev/message") "" | Quote }}
      startedAt: {{ $started | Quote }}
      finishedAt: {{ Now | Quote }}
{{ end }}
"""

_NODE = """
phase: Running
conditions:
{{ range NodeConditions }}
- type: {{ .type | Quote }}
  status: {{ .status | Quote }}
  reason: {{ .reason | Quote }}
  message: {{ .message | Quote }}
  lastHeartbeatTime: {{ Now | Quote }}
  lastTransitionTime: {{ Now | Quote }}
{{ end }}
"""


def node(*, name: str) -> Mapping[str, Any]:
    """The fake node, with room for any number of pods."""
    room = {"cpu": "100k", "memory": "1000Ti", "pods": "1M", "ephemeral-storage": "1000Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}},
        "status": {"allocatable": room, "capacity": room},
    }


def render(*, complete: bool) -> str:
    """All stages as documents of one YAML stream; `complete`: pods that may end do so at once, else when asked to."""
    stages = [
        _stage("node-ready", "Node", ['[.status.conditions[]? | select(.type == "Ready")] | length == 0'], _NODE),
        *pod_stages(complete=complete),
    ]
    return "\n---\n".join(json.dumps(stage, indent=1) for stage in stages)


def pod_stages(*, complete: bool) -> Sequence[Mapping[str, Any]]:
    """The stages of pods. Conditions of two stages never hold together: kwok would pick one by chance."""
    alive = ".metadata.deletionTimestamp == null"
    fresh = '(.status.phase // "Pending") == "Pending"'
    running = '.status.phase == "Running"'
    reported = f"({_annotation('exit-code')} != null or {_annotation('duration')} != null)"
    # Services don't end; a held pod is ended by its exit code, its duration or its deadline.
    ending = (
        f'({reported} or ({_annotation("hold")} == null and .spec.restartPolicy != "Always"))' if complete else reported
    )
    waiting = f"{_annotation('waiting')} != null"
    code = '(or (index $annotations "fake.tidegate.dev/exit-code") (index $labels "fake.tidegate.dev/exit-code") "0")'
    exceeded = 'reason: DeadlineExceeded\nmessage: "Pod was active on the node longer than the specified deadline"'
    deadline = "((.status.startTime | fromdateiso8601) + .spec.activeDeadlineSeconds) | todateiso8601"
    return [
        _stage(
            "pod-waiting",
            "Pod",
            [alive, fresh, waiting, "[.status.containerStatuses[]?] | length == 0"],
            _WAITING,
        ),
        _stage("pod-running", "Pod", [alive, fresh, f"({waiting}) | not"], _RUNNING),
        _stage(
            "pod-ended",
            "Pod",
            [alive, running, ending],
            _ENDED.replace("CODE", code).replace("REASON", ""),
            delay={"durationMilliseconds": 0, "durationFrom": {"jq": {"expression": _annotation("duration")}}},
        ),
        _stage(
            "pod-deadline",
            "Pod",
            [alive, running, f"({ending}) | not", ".spec.activeDeadlineSeconds != null"],
            _ENDED.replace("CODE", '"143"').replace("REASON", exceeded),
            delay={"durationMilliseconds": 0, "durationFrom": {"jq": {"expression": deadline}}},
        ),
        _stage(
            "pod-never-started",
            "Pod",
            [alive, fresh, ".status.startTime != null", ".spec.activeDeadlineSeconds != null"],
            f"phase: Failed\n{exceeded}",
            delay={"durationMilliseconds": 0, "durationFrom": {"jq": {"expression": deadline}}},
        ),
        _stage("pod-deleted", "Pod", [".metadata.deletionTimestamp != null"], ""),
    ]


def _annotation(name: str) -> str:
    return f'(.metadata.annotations["{FAKE}{name}"] // .metadata.labels["{FAKE}{name}"])'


def _stage(
    name: str, kind: str, conditions: Sequence[str], status: str, *, delay: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    # One expression for all conditions: `key` yields "true" and is compared as a string.
    expression = " and ".join(f"({condition})" for condition in conditions)
    following: Mapping[str, Any] = {"statusTemplate": status} if status else {"delete": True}
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": kind},
            "selector": {"matchExpressions": [{"jq": {"key": expression, "operator": "In", "values": ["true"]}}]},
            **({"delay": delay} if delay else {}),
            "next": following,
        },
    }
