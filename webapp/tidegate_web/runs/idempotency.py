"""Idempotency keys: what a request of a key is called, whether two requests are the same, and what a key already made.

The run's name follows from project, task and key, so a second create meets the first in the cluster whatever happened in
between; Postgres remembers for 30 days, also when the run is gone from there.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection
from tidegate_api.run_names import name_of_key

from tidegate_web.services import Services
from tidegate_web.shared.permissions import is_dns_label
from tidegate_web.shared.problems import Problem, invalid
from tidegate_web.store.queries import idempotency, runs
from tidegate_web.store.queries.idempotency import KEPT
from tidegate_web.store.queries.new_runs import UsedKey
from tidegate_web.store.run_rows import RunRow

MAY_DIFFER = frozenset(
    {"cancel", "suspend", "priority", "startAfter", "ttlSecondsAfterFinished", "dependsOn", "parentRun"}
)
"""What may differ between a request and its run: it can be changed, was settled when the run was made, or says who asked."""
NOT_COMPARED = frozenset({"idempotencyKey", "startAfter"})
"""What two requests of one key may have differently: a client that tries again computes now + delay again."""
SLACK = timedelta(days=1)
"""A run of the same name that is older than its reservation by more than clocks differ is one of an expired key."""


@dataclass(frozen=True, kw_only=True)
class KeyedRequest:
    """A run that is to be made once, however often it is asked for."""

    task: str
    """Its Task; empty for an inline one."""
    key: str
    digest: bytes
    """Of what was sent, by which two requests are distinguished."""
    name: str


def once(project: str, body: Mapping[str, object], *, header: str | None) -> KeyedRequest | None:
    """The key of a request: its header, or ``idempotencyKey`` of the body, which is the same; None without one."""
    sent = body.get("idempotencyKey")
    if header is None and sent is None:
        return None
    if header is not None and sent is not None and header != sent:
        raise invalid("idempotencyKey", "is not the one of the header Idempotency-Key")
    key = sent if header is None else header
    if not isinstance(key, str) or not (1 <= len(key) <= 256 and key.isascii() and key.isprintable()):
        raise invalid("idempotencyKey", "must be 1 to 256 printable ASCII characters")
    if body.get("name") is not None:
        raise invalid("name", "can't be chosen beside an idempotency key: the key names the run")
    reference = body.get("taskRef")
    name = reference.get("name") if isinstance(reference, dict) else None
    task = name if isinstance(name, str) and is_dns_label(name) else ""
    return KeyedRequest(task=task, key=key, digest=_digest(body), name=name_of_key(project, task, key))


def _digest(body: Mapping[str, object]) -> bytes:
    rest = {name: value for name, value in body.items() if name not in NOT_COMPARED}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).digest()


def asks_for(wanted: Mapping[str, object], stored: Mapping[str, object]) -> bool:
    """Whether a run in the cluster is what this spec asks for: the apiserver has added defaults, and some of it may differ."""
    return all(_same(value, stored.get(name)) for name, value in wanted.items() if name not in MAY_DIFFER)


def _same(wanted: object, stored: object) -> bool:
    if isinstance(wanted, dict) and isinstance(stored, dict):
        return all(_same(value, stored.get(name)) for name, value in wanted.items())
    if isinstance(wanted, list) and isinstance(stored, list):
        return len(wanted) == len(stored) and all(map(_same, wanted, stored))
    return wanted == stored


def another_body() -> Problem:
    return Problem(422, "This idempotency key was used with another body.")


def reserve(
    connection: Connection, made: Services, project: str, wanted: KeyedRequest, spec: Mapping[str, object]
) -> RunRow | None:
    """Take the key for this request; the run that it has made before, None when it is still to be made."""
    now = made.clock.now()
    place = {"project": project, "task": wanted.task, "key": wanted.key}
    kept = idempotency.reserve(connection, **place, digest=wanted.digest, now=now, before=now - KEPT)
    if kept is not None and kept.digest != wanted.digest:
        raise another_body()
    if kept is not None and kept.run_uid is not None:
        found = runs.find(connection, project=project, reference=kept.run_uid)
        if found is None:
            raise Problem(410, "The run of this idempotency key was deleted for good.")
        return found
    # The request that reserved it may have died, or be at work now, or the run was made without this API: its name shows.
    found = runs.find(connection, project=project, reference=wanted.name)
    since = now - KEPT if kept is None else kept.created - SLACK
    if found is None or found.spec.get("idempotencyKey") != wanted.key or found.created < since:
        return None
    if kept is None and not asks_for(spec, found.spec):
        release(connection, project, wanted)
        raise another_body()
    finish(connection, made, project, wanted, run_uid=found.uid)
    return found


def finish(connection: Connection, made: Services, project: str, wanted: KeyedRequest, *, run_uid: str) -> None:
    """The key has made this run."""
    idempotency.finish(connection, **vars(used(made, project, wanted, run_uid=run_uid)))


def used(made: Services, project: str, wanted: KeyedRequest, *, run_uid: str) -> UsedKey:
    """The same, to be written with its run."""
    return UsedKey(
        project=project,
        task=wanted.task,
        key=wanted.key,
        digest=wanted.digest,
        run_uid=run_uid,
        created=made.clock.now(),
    )


def release(connection: Connection, project: str, wanted: KeyedRequest) -> None:
    """The run was refused: the key is free for a better body."""
    idempotency.release(connection, project=project, task=wanted.task, key=wanted.key, digest=wanted.digest)
