"""A run's Kubernetes Events over HTTP. They are there for an hour or so."""

from collections.abc import Iterable

from tidegate_web.api.response_types import KubernetesEvent
from tidegate_web.cluster.objects import Event


def events_json(found: Iterable[Event]) -> list[KubernetesEvent]:
    """Oldest first."""
    return sorted(map(event_json, found), key=lambda event: (event["lastAt"] or "", event["object"]["name"] or ""))


def event_json(event: Event) -> KubernetesEvent:
    """An Event; one of either kind of reporter."""
    about, series = event.get("involvedObject") or {}, event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp")
    source = event.get("reportingComponent") or (event.get("source") or {}).get("component")
    return {
        "type": event.get("type"),
        "reason": event.get("reason"),
        "message": event.get("message"),
        "object": {"kind": about.get("kind"), "name": about.get("name")},
        "count": series.get("count") or event.get("count") or 1,
        "firstAt": first,
        "lastAt": series.get("lastObservedTime") or event.get("lastTimestamp") or first,
        "source": source or None,
    }
