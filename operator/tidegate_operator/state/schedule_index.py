"""Schedules and the runs that carry their label: a part of the cache of its own, so that nothing here asks all runs."""

import sys
from collections.abc import Callable

from tidegate_api.bodies import ScheduleBody
from tidegate_api.names import SCHEDULE_LABEL
from tidegate_api.objects import ObjectMeta
from tidegate_api.times import parse_time

from tidegate_operator.records.definitions import ScheduleRecord
from tidegate_operator.records.faults import Fault
from tidegate_operator.records.run import RunRecord

Key = tuple[str, str]
Uids = tuple[str, ...]


class ScheduleIndex:
    """Records by namespace and name, and the runs of each.

    Everything that changes a run comes through the cache, the answers to our own writes included, whose echo in the watch
    is no news. So this index is what connects a Schedule with its runs.
    """

    def __init__(self, *, on_change: Callable[[Key], None]) -> None:
        """`on_change` is called with the key of a Schedule that was seen, or of whose runs one came, ended or went."""
        self.records: dict[Key, ScheduleRecord] = {}
        self.on_change = on_change
        self._runs: dict[Key, dict[str, RunRecord]] = {}

    def put(self, body: ScheduleBody) -> Uids:
        """A Schedule was seen. Answers with its runs that were held for it and are no longer."""
        meta = body["metadata"]
        key, version = (meta["namespace"], meta["name"]), int(meta["resourceVersion"])
        known = self.records.get(key)
        if known is not None and known.version >= version and known.fault is None:
            return ()
        held = {r.uid for r in self.runs_of(key) if self.holds(r)}
        made = ScheduleRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=version,
            generation=meta.get("generation", 1),
            created=parse_time(meta["creationTimestamp"]) or 0.0,
            spec=body["spec"],
            status=body.get("status") or {},
        )
        parse_time(made.status.get("lastScheduleTime"))  # else whatever asks for it later meets the error
        self.records[key] = made
        self.on_change(key)
        return tuple(r.uid for r in self.runs_of(key) if r.uid in held and not self.holds(r))

    def put_unreadable(self, meta: ObjectMeta, *, fault: Fault) -> None:
        """A Schedule was seen that can't be parsed: it makes no runs, and holds those that it has made."""
        key = (meta["namespace"], meta["name"])
        self.records[key] = ScheduleRecord(
            uid=meta["uid"],
            namespace=key[0],
            name=key[1],
            version=int(meta["resourceVersion"]),
            generation=1,
            created=0.0,
            spec={},
            status={},
            fault=fault,
        )
        self.on_change(key)

    def drop(self, namespace: str, name: str, *, uid: str) -> Uids:
        """A Schedule is gone; its runs stay."""
        key = (namespace, name)
        if (known := self.records.get(key)) is None or known.uid != uid:
            return ()
        held = tuple(r.uid for r in self.runs_of(key) if self.holds(r))
        del self.records[key]
        self.on_change(key)
        return held

    def runs_of(self, key: Key) -> list[RunRecord]:
        """The runs with a Schedule's label."""
        return list(self._runs.get(key, {}).values())

    def holds(self, run: RunRecord) -> bool:
        """Whether a run must not be deleted yet. A Schedule that is gone holds nothing."""
        record = self.records.get((run.namespace, run.schedule)) if run.schedule else None
        return record is not None and record.holds(run.name)

    def note(self, run: RunRecord, meta: ObjectMeta, *, ended: bool) -> None:
        """A run was seen, and has just `ended` or not. Its label may have changed."""
        name = (meta.get("labels") or {}).get(SCHEDULE_LABEL)
        if run.schedule != name:
            self.forget(run)
            run.schedule = sys.intern(name) if name else None
        if not name:
            return
        runs = self._runs.setdefault((run.namespace, name), {})
        if run.uid not in runs or ended:
            runs[run.uid] = run
            self.on_change((run.namespace, name))

    def forget(self, run: RunRecord) -> None:
        """A run is gone."""
        if not run.schedule:
            return
        key = (run.namespace, run.schedule)
        runs = self._runs.get(key, {})
        if runs.pop(run.uid, None) is not None:
            self.on_change(key)
        if not runs:
            self._runs.pop(key, None)
