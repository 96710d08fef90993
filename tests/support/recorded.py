"""What runs in pools of a cluster did, as they said it to a recorder, and pools that have its module of tasks."""

import json
from collections import defaultdict
from typing import Any

from support.builders import EXAMPLES
from support.cluster import SECONDS
from support.kube import Kube
from support.servers import wait_until

Json = dict[str, Any]


class Recorder:
    """The pod `recorder`."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.address: str = kube.get("pods", "recorder")["status"]["podIP"]

    def marks(self) -> dict[str, list[tuple[int, str]]]:
        """Of each run: the attempt, and what it said, in order."""
        found: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for line in self._kube.log("recorder").splitlines():
            mark = json.loads(line)
            found[mark["run"]].append((mark["attempt"], mark["what"]))
        return found

    def said(self, run: str, what: str, *, attempt: int | None = None) -> None:
        """Wait until a run has said something."""

        def there() -> bool:
            return any(w == what and attempt in (None, a) for a, w in self.marks()[run])

        wait_until(there, seconds=SECONDS, what=f"{what!r} of {run}")


def never_two_at_once(marks: list[tuple[int, str]]) -> bool:
    """Whether no attempt says anything once a later one has begun, and each begins and ends at most once."""
    attempts = [attempt for attempt, _ in marks]
    edges = [mark for mark in marks if mark[1] != "goes on"]
    return attempts == sorted(attempts) and len(edges) == len(set(edges))


def a_marked_pool(name: str, **spec: Any) -> Json:
    """A WorkerPool with the tasks of the recorder; `pod` and `container` are laid over its pods."""
    container = {"name": "worker", "volumeMounts": [{"name": "marked", "mountPath": "/marked"}]}
    pod = {"volumes": [{"name": "marked", "configMap": {"name": "marked"}}], **spec.pop("pod", {})}
    env = [{"name": "PYTHONPATH", "value": "/marked"}, *spec.pop("env", [])]
    made = {
        "image": EXAMPLES,
        "imagePullPolicy": "Never",
        "preload": ["marked"],
        "env": env,
        "podTemplate": {"spec": {"containers": [container], **pod}},
        **spec,
    }
    return {"apiVersion": "tidegate.dev/v1alpha1", "kind": "WorkerPool", "metadata": {"name": name}, "spec": made}
