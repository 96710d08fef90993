"""The worker's main process: one thread that waits for the operator, the zygote, runs, health checks and signals.

As PID 1 of its container it is the parent of what subreapers that were killed have left; it ends all of it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
import traceback
from typing import Mapping, Optional

from tidegate.worker import linux, messages, processes
from tidegate.worker.child_processes import Children
from tidegate.worker.draining import Draining, Phase
from tidegate.worker.health import Health
from tidegate.worker.leader import Leader
from tidegate.worker.log import Log, Turns
from tidegate.worker.loop import READ, WRITE, Loop
from tidegate.worker.messages import Note
from tidegate.worker.resolver import Resolver
from tidegate.worker.settings import Settings, environment_of_runs
from tidegate.worker.slots import Slots
from tidegate.worker.zygote_process import ZygoteProcess

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class Worker:
    """All parts of the main process."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._clock = time.monotonic
        self._signals = linux.signal_descriptor(SIGNALS)
        self._loop = loop = Loop()
        self._log = Log(1, self._clock)
        self._turns = Turns(self._log, loop)
        self._zygote = ZygoteProcess(loop=loop, log=self._log, on_note=self._noted)
        self._children = Children(self._zygote, loop)
        self._base = environment_of_runs(environment)
        self._slots = Slots(
            settings,
            self._base,
            zygote=self._zygote,
            children=self._children,
            loop=loop,
            log=self._log,
            turns=self._turns,
            clock=self._clock,
            tell=lambda line: self._leader.tell(line),
            orphans=self._kill_orphans,
        )
        resolver = Resolver(settings.host, zygote=self._zygote, loop=loop, clock=self._clock)
        self._leader = Leader(
            settings, slots=self._slots, resolver=resolver, loop=loop, log=self._log, clock=self._clock
        )
        self._health = Health(settings.health_port, ready=self._is_ready, loop=loop, clock=self._clock)
        self._draining: Optional[Draining] = None
        self._code = 0
        self._failed_import = ""

    def run(self) -> int:
        """Work until the end; the exit code."""
        try:
            return self._run()
        except Exception:
            # The kubelet starts another; what this one has lost is better known than half done.
            self._log.event("error", "the worker fails", trace=traceback.format_exc())
            return 1
        finally:
            self._leader.close()
            self._zygote.kill()

    def _run(self) -> int:
        left = self._prepare_directory()
        self._loop.watch(self._signals, READ, lambda _: self._take_signals())
        self._zygote.start(self._settings.preload, self._base, self._turns)
        _raise_descriptor_limit()
        self._log.event("info", "the worker starts", pool=self._settings.pool, slots=self._settings.slots)
        while not self._zygote.ready:
            if not self._zygote.pid:
                return self._preload_failed()
            if self._draining is not None:
                return 0
            self._loop.wait(self._wait_seconds(self._health.tick()))
            self._turns.turn()
        self._log.event("info", "the modules are imported", modules=list(self._settings.preload))
        self._children.refill()
        for path in left:
            self._zygote.ask(Note(messages.REMOVE, path))
        while self._draining is None or self._draining.phase is not Phase.OVER:
            self._turn()
        return self._code

    def _turn(self) -> None:
        now = self._clock()
        # Slots after the leader: what it asks for is done at once.
        looks = [self._health.tick(), self._zygote.look_after(now), self._leader.tick(), self._slots.tick()]
        self._turns.turn()
        if self._draining is not None:
            looks.append(self._drain(self._draining, self._clock()))
            if self._draining.phase is Phase.OVER:
                return
        self._loop.wait(self._wait_seconds(*looks))

    def _wait_seconds(self, *looks: Optional[float]) -> float:
        waits = [look - self._clock() for look in looks if look is not None]
        of_log = self._turns.wait_seconds()
        if of_log is not None:
            waits.append(of_log)
        self._watch_log()
        return max(0.0, min(waits, default=1.0))

    def _watch_log(self) -> None:
        with contextlib.suppress(PermissionError):  # a file can't be waited for, and takes all
            self._loop.watch(self._log.descriptor, WRITE if self._log.pending else 0, self._write_log)

    def _write_log(self, _: int) -> None:
        self._log.write()

    def _drain(self, draining: Draining, now: float) -> Optional[float]:
        phase = draining.advance(
            now,
            busy=self._slots.busy,
            unwritten=self._slots.unwritten,
            connected_since=self._leader.welcomed_since,
            log_pending=self._turns.pending,
        )
        if phase is Phase.STOPPING:
            self._slots.stop_all("Drained")
            return self._slots.tick()
        return draining.next_look()

    def _begin_draining(self, why: str) -> None:
        if self._draining is None:
            self._draining = Draining(began=self._clock(), drain_seconds=self._settings.drain_seconds)
            self._slots.draining = True
            self._log.event("info", "the worker drains", reason=why, runs=self._slots.busy)
            self._leader.say_draining()

    def _is_ready(self) -> bool:
        return self._zygote.ready and self._leader.was_welcomed and not self._slots.draining

    def _noted(self, note: Note) -> None:
        if note.kind == messages.FAILED:
            self._failed_import = note.text
        elif note.kind == messages.READY and note.number:
            self._log.event(
                "warning", "preloaded modules have started threads, which runs don't have", threads=note.number
            )
        else:
            self._children.noted(note)

    def _take_signals(self) -> None:
        for caught in linux.read_signals(self._signals):
            # In its container a run could send it too, as it has the same user; the kubelet's comes from outside.
            if caught.number != signal.SIGCHLD and (os.getpid() != 1 or caught.sender == 0):
                self._begin_draining(signal.Signals(caught.number).name)
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._zygote.pid:
                self._zygote_ended(os.waitstatus_to_exitcode(status))

    def _zygote_ended(self, code: int) -> None:
        self._zygote.reaped()
        was_ready = self._zygote.ready
        self._children.zygote_is_gone()
        if not self._failed_import:
            how = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
            self._failed_import = f"the process that imports {self._zygote.module or 'modules'} ended {how}"
            if was_ready:
                self._log.event("error", f"the zygote ended {how}")
        if was_ready:
            self._code = 1
            self._begin_draining("the zygote ended")

    def _preload_failed(self) -> int:
        message = f"preload failed: {self._failed_import or 'the zygote ended'}"
        self._log.event("error", message, module=self._zygote.module)
        write_termination_log(self._settings.termination_log, message)
        until = self._clock() + 2.0
        while self._turns.pending and self._clock() < until:
            self._turns.turn()
            self._loop.wait(0.02)
        return 1

    def _kill_orphans(self) -> bool:
        """End what killed subreapers have left; whether some of it is still there."""
        zygote = self._zygote.pid
        spared = {zygote, *self._children.pids()}
        groups = {os.getpgrp(), zygote}
        found = processes.kill_descendants(os.getpid(), spared=spared, spared_groups=groups)
        self._reap()
        return found > 0

    def _prepare_directory(self) -> list[str]:
        """Make the directory of runs; what an earlier container of the pod has left there."""
        os.makedirs(self._settings.directory, mode=0o700, exist_ok=True)
        with os.scandir(self._settings.directory) as entries:
            return [entry.path for entry in entries]


def write_termination_log(path: str, message: str) -> None:
    """Say why the worker can't begin where the kubelet reads it, if it has put a file there."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
        os.write(descriptor, message.encode("utf-8", "replace")[:4096])
        os.close(descriptor)


def _raise_descriptor_limit() -> None:
    """Each run has four here. The zygote keeps the limit that it got."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
