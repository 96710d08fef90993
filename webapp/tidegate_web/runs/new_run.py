"""What a new run may look like, before the apiserver is asked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tidegate_api.replay import RESERVED_LABELS
from tidegate_api.run_names import new_name

from tidegate_web.runs.bounds import check_bounds
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem, invalid

MAX_PAYLOAD_BYTES = 128 * 1024
LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run as asked for: the rest of ``spec`` is checked by the apiserver, whose schema is the contract."""

    name: str
    labels: dict[str, str]
    spec: JsonObject
    annotations: dict[str, str] = field(default_factory=dict)

    def manifest(self, *, project: str, requested_by: str) -> JsonObject:
        return {
            "apiVersion": "tidegate.dev/v1alpha1",
            "kind": "TaskRun",
            "metadata": {
                "name": self.name,
                "namespace": project,
                "labels": self.labels,
                "annotations": self.annotations | {"tidegate.dev/requested-by": requested_by},
            },
            "spec": self.spec,
        }


def new_run(body: Mapping[str, object]) -> NewRun:
    """Take ``name`` and ``labels`` out of the body; what is left is the spec."""
    spec = {key: value for key, value in body.items() if key not in ("name", "labels")}
    check_payload(spec.get("payload", {}))
    check_bounds(spec)
    given = body.get("name")
    name = generated_name(spec) if given is None else checked_name(given)
    return NewRun(name=name, labels=check_labels(body.get("labels", {})), spec=spec)


def check_payload(payload: object) -> None:
    """422 for what isn't an object, 413 for one that is too large."""
    if not isinstance(payload, dict):
        raise invalid("payload", "must be a JSON object")
    try:
        size = len(json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())
    except UnicodeEncodeError:
        raise invalid("payload", "has text that isn't valid Unicode") from None
    if size > MAX_PAYLOAD_BYTES:
        raise Problem(413, f"The payload is larger than {MAX_PAYLOAD_BYTES} bytes.")


def checked_name(name: object) -> str:
    """The name; 422 for what Kubernetes wouldn't take as one."""
    if not isinstance(name, str) or not is_dns_label(name):
        raise invalid("name", "must be a DNS label: at most 63 of a-z, 0-9 and -, beginning and ending with a-z or 0-9")
    return name


def generated_name(spec: Mapping[str, object]) -> str:
    """The name of a run that was sent without one."""
    reference = spec.get("taskRef")
    return new_name(reference.get("name") if isinstance(reference, dict) else None)


def check_labels(labels: object) -> dict[str, str]:
    """422 for what aren't labels, or are Tidegate's or Kubernetes' own."""
    if not isinstance(labels, dict):
        raise invalid("labels", "must be an object of strings")
    for key, value in labels.items():
        if not isinstance(value, str) or not LABEL_VALUE.fullmatch(value) or not LABEL_KEY.fullmatch(key):
            raise invalid("labels", "must have Kubernetes label names, and label values as strings")
        if key.startswith(RESERVED_LABELS):
            raise invalid("labels", "may not use Tidegate's or Kubernetes' own prefixes")
    return labels


def is_text(value: str) -> bool:
    """Whether it is Unicode throughout: JSON can write half a character, which no store takes."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
