"""How many streams a process has open, as a metric: each is a connection and a queue of messages."""

from prometheus_client import CollectorRegistry, Gauge

from tidegate_web.events.hub import Hub


def count_streams(hub: Hub, registry: CollectorRegistry) -> None:
    """Publish the number of a hub's streams."""
    streams = Gauge("tidegate_live_streams", "Open streams and waits for a run's end.", registry=registry)
    streams.set_function(lambda: hub.streams)
