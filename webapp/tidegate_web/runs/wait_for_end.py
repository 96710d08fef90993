"""Waiting for the end of one run, for a caller over HTTP who wants its result in the answer.

The run is read again only when an event says that it has ended. Between two reads a waiting request holds no connection to
Postgres, and under gevent no thread.
"""

import time
from typing import Final

from tidegate_web.events.channels import EVENTS_CHANNEL
from tidegate_web.events.hub import Signal, Subscription
from tidegate_web.runs.lookup import find_stored
from tidegate_web.services import Services
from tidegate_web.shared.phases import TERMINAL_PHASES
from tidegate_web.shared.problems import postgres_away
from tidegate_web.store.engine import with_fallback
from tidegate_web.store.run_rows import RunRow

MOST_SECONDS: Final = 60
"""Proxies and load balancers often end a request that is silent for longer."""
READ_AGAIN_SECONDS: Final = 15.0
"""Redis may lose an event, as when it is restarted."""
AWAY_SECONDS: Final = 2.0
"""The same while Redis or Postgres is away."""


def wait_for_end(made: Services, project: str, reference: str, *, seconds: int) -> RunRow:
    """The run once it has ended; as it is after ``seconds``, or when this process stops.

    404 for a run that the archive doesn't have, 503 where Postgres doesn't answer at the end.
    """
    deadline = time.monotonic() + seconds
    uid = find_stored(made, project, reference).uid
    while True:
        # Subscribed first, then read: no end falls between the two.
        with made.hub.subscribe(EVENTS_CHANNEL + project) as stream:
            run = with_fallback(lambda: find_stored(made, project, uid), lambda: None)
            left = deadline - time.monotonic()
            if left <= 0 or made.hub.stopping or (run is not None and run.phase in TERMINAL_PHASES):
                break
            answers = run is not None and made.hub.connected.is_set()
            _listen(stream, uid, seconds=min(left, READ_AGAIN_SECONDS if answers else AWAY_SECONDS))
    if run is None:
        raise postgres_away()
    return run


def _listen(stream: Subscription, uid: str, *, seconds: float) -> None:
    """Return when the run may have ended, when events may have been missed, or when the time is over."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        message = stream.get(seconds=left)
        if isinstance(message, Signal):
            return
        event = message.event.fields
        if event.get("uid") == uid and event.get("phase") in TERMINAL_PHASES:
            return
