"""How soon an open page shows a change that the cluster has, alone and beside many other open pages.

Two pages are open in a real Chromium, the list of runs and a run: an observer of the document notes when a phase is in its place, so that
the time holds all that a person waits for. The other pages are imitated, for a browser with two hundred would measure itself. Changes come
one at a time, the next when every page has the last one: what is measured is one change, not a load.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from playwright.sync_api import BrowserContext, Page
from prometheus_client.parser import text_string_to_metric_families
from support.browser import chromium, signed_in
from support.runs import now
from support.servers import ensure_servers
from support.web import EMAIL, PASSWORD, Process, Stack

from .door import door
from .figures import ProcessView
from .load import BenchError
from .posting import PROJECT
from .serving import lift_limit_of_files, serving_stack

TARGET_MS: Final = 500.0
RUNS: Final = 60
"""More than a page of the list has."""
WARM_UP: Final = 5
BETWEEN: Final = 0.6
"""Seconds from one change's end to the next: longer than a page pauses between two fetches whose answers are quick."""
PATIENCE_MS: Final = 120_000
PHASES: Final = ("Starting", "Running")
ROUTE: Final = "/projects/<project>/runs"

OBSERVE: Final = """
(selector) => {
  const read = () => document.querySelector(selector)?.textContent.trim();
  let phase = read(), at = 0, refreshed = 0, waiting = [];
  const changed = () => { for (const look of [...waiting]) look(); };
  new MutationObserver(() => {
    const next = read();
    if (next === phase) return;
    [phase, at] = [next, Date.now()];
    changed();
  }).observe(document.documentElement, { subtree: true, childList: true, characterData: true });
  // The script says so when a fragment is in place.
  document.addEventListener("refreshed", () => { refreshed = Date.now(); changed(); });
  const until = (found, patience) => new Promise((done, failed) => {
    const look = () => {
      if (found() === undefined) return;
      waiting = waiting.filter((other) => other !== look);
      done(found() / 1000);
    };
    waiting.push(look);
    setTimeout(() => failed(new Error(`the page shows ${phase}`)), patience);
    look();
  });
  window.phaseShown = (wanted, patience) => until(() => phase === wanted ? at : undefined, patience);
  // Of the same change: nothing else happens, so the first fragment that comes no earlier has it.
  window.restShown = (patience) => until(() => refreshed >= at ? refreshed : undefined, patience);
}
"""


@dataclass(frozen=True, kw_only=True)
class Delays:
    """In milliseconds."""

    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """The nearest ranks."""
        ordered = sorted(seconds)
        at = [ordered[min(len(ordered) - 1, int(len(ordered) * part))] for part in (0.5, 0.95)]
        p50, p95, most = (round(1000 * value, 1) for value in (*at, ordered[-1]))
        return cls(p50=p50, p95=p95, most=most)

    def __str__(self) -> str:
        return f"{self.p50:.0f} / {self.p95:.0f} / {self.most:.0f}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """From the apiserver's answer to a change until one page in the browser shows it."""

    phase: Delays
    """By the event of the stream."""
    rest: Delays
    """All else, by the fragment that the page asks for then."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What was measured beside so many other open pages."""

    others: int
    changes: int
    list: Shown
    run: Shown
    told: Delays | None
    """Until an event came to one of the others."""
    have: Delays | None
    """Until one of the others had its fragment."""
    fragments: float
    """Of the others, a change."""
    server_ms: float
    """To answer a fragment of the list, by the web process's own account: what waits for a thread isn't in it."""
    cpu_ms: dict[str, float]
    """A change, by process."""
    memory_mb: dict[str, float]

    @property
    def reached(self) -> bool:
        return max(self.list.phase.p95, self.run.phase.p95) <= TARGET_MS


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Those that stand between the apiserver and a page."""

    web: Process
    live: Process
    mirror: Process

    def views(self) -> dict[str, ProcessView]:
        """Of those that do the work."""

        def worker(one: Process) -> ProcessView:
            (pid,) = ProcessView(one.process.pid).children()
            return ProcessView(pid)

        mirror = ProcessView(self.mirror.process.pid)
        return {"web": worker(self.web), "live": worker(self.live), "mirror": mirror}

    def fragments(self) -> tuple[float, float]:
        """How many answers of the list the web process has given, and the seconds that they took."""
        found = {"count": 0.0, "sum": 0.0}
        for family in text_string_to_metric_families(self.web.probe("/metrics")[1]):
            for sample in family.samples:
                kind = sample.name.removeprefix("tidegate_web_request_seconds_")
                if kind in found and sample.labels["route"] == ROUTE:
                    found[kind] = sample.value
        return found["count"], found["sum"]


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What the other pages say of a change, each one of them: when an event told it, and when it had its fragment."""

    told: list[float]
    have: list[float]
    fetched: int
    """Fragments of all of them, so far."""


class Others:
    """The process of the other pages."""

    def __init__(self, process: "subprocess.Popen[str]", **opened: str | int) -> None:
        self._process = process
        self._say(opened)

    def settled(self, *, uid: str, phase: str) -> Settled:
        """Wait until all of them have what a run's new phase makes them fetch."""
        return Settled(**self._say({"uid": uid, "phase": phase}))

    def _say(self, said: dict[str, str] | dict[str, str | int]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BenchError("the process of the other pages has ended")
        found: dict[str, Any] = json.loads(answer)
        return found


@contextmanager
def _others(pages: int, processes: Processes, cookie: str) -> Iterator[Others | None]:
    if not pages:
        yield None
        return
    command = [sys.executable, "-m", "tests.bench.other_pages"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        web, live = (f"http://127.0.0.1:{one.port}" for one in (processes.web, processes.live))
        yield Others(process, web=web, live=live, project=PROJECT, cookie=cookie, pages=pages)
        assert process.stdin is not None
        process.stdin.close()


class Changes:
    """One run that changes, and the two pages that show it."""

    def __init__(self, stack: Stack, *, name: str, uid: str, pages: dict[str, Page]) -> None:
        self._stack, self._name, self.uid = stack, name, uid
        self.pages = pages
        self._count = 0

    def change(self) -> tuple[str, float]:
        """The new phase, and when the apiserver had answered."""
        self._count += 1
        phase, at = PHASES[self._count % 2], now()
        attempt = {"number": 1, "startedAt": at}
        self._stack.runs.status(self._name, phase=phase, startedAt=at, attempts=[attempt])
        return phase, time.time()


def measure(*, others: list[int], changes: int, folder: Path, report: Callable[[str], None]) -> list[Beside]:
    """Start everything, and change a run so many times beside each number of other pages."""
    ensure_servers()
    lift_limit_of_files()
    # As they are installed: tests have heartbeats and sweeps more often.
    usual: dict[str, Any] = {"sweep_seconds": 5, "stream_heartbeat_seconds": 15}
    with serving_stack() as stack, ExitStack() as cleanup:
        web, live, mirror = (
            cleanup.enter_context(stack.process(command, actor=actor, log=folder / f"{command}.log", **usual))
            for command, actor in (("serve", "web"), ("live", "web"), ("mirror", "mirror"))
        )
        processes = Processes(web=web, live=live, mirror=mirror)
        site = cleanup.enter_context(door(web=web.port, live=live.port))
        report(f"{RUNS} runs, and a browser")
        for i in range(RUNS - 1):
            stack.runs.create(f"run-{i}")
        uid = stack.runs.create("changing")["metadata"]["uid"]
        browser = cleanup.enter_context(chromium())
        first = cleanup.enter_context(signed_in(browser, site, email=EMAIL, password=PASSWORD, by_form=True))
        changing = Changes(stack, name="changing", uid=uid, pages=_opened(first.context, first, uid=uid))
        for _ in range(WARM_UP):
            _change(changing, None)
        found = []
        for pages in others:
            report(f"{changes} changes beside {pages} other open pages")
            with _others(pages, processes, _cookie(first.context)) as beside:
                found.append(_row(changing, processes, beside, pages=pages, changes=changes))
        return found


def _opened(context: BrowserContext, first: Page, *, uid: str) -> dict[str, Page]:
    """The list and the run, followed by their scripts and observed."""
    pages = {"list": first, "run": context.new_page()}
    places = {"list": ("", f"#run-{uid} .c-phase"), "run": (f"/{uid}", "#head .tg-badge")}
    for name, (path, place) in places.items():
        page = pages[name]
        page.goto(f"/projects/{PROJECT}/runs{path}")
        page.locator(place).wait_for(timeout=PATIENCE_MS)
        page.locator("[data-live][data-state=live]").wait_for(timeout=PATIENCE_MS)
        page.evaluate(OBSERVE, place)
    return pages


def _cookie(context: BrowserContext) -> str:
    return "; ".join(f"{one['name']}={one['value']}" for one in context.cookies() if "name" in one and "value" in one)


@dataclass(frozen=True, kw_only=True)
class _Change:
    """Seconds since the apiserver's answer: of both pages until the phase was shown, and until the rest was."""

    pages: dict[str, tuple[float, float]]
    told: list[float]
    have: list[float]
    fetched: int


def _change(changing: Changes, others: Others | None) -> _Change:
    phase, answered = changing.change()
    shown = {}
    for name, page in changing.pages.items():
        at = page.evaluate("([phase, patience]) => window.phaseShown(phase, patience)", [phase, PATIENCE_MS])
        shown[name] = (at, page.evaluate("(patience) => window.restShown(patience)", PATIENCE_MS))
    settled = others.settled(uid=changing.uid, phase=phase) if others else Settled(told=[], have=[], fetched=0)
    changing.pages["list"].wait_for_timeout(BETWEEN * 1000)
    return _Change(
        pages={name: (at - answered, rest - answered) for name, (at, rest) in shown.items()},
        told=[at - answered for at in settled.told],
        have=[at - answered for at in settled.have],
        fetched=settled.fetched,
    )


def _row(changing: Changes, processes: Processes, others: Others | None, *, pages: int, changes: int) -> Beside:
    # The first one of a number of pages opens their connections.
    fetched = _change(changing, others).fetched
    views = processes.views()
    cpu = {name: view.cpu_seconds for name, view in views.items()}
    answered = processes.fragments()
    seen = [_change(changing, others) for _ in range(changes)]
    cpu = {name: round((view.cpu_seconds - cpu[name]) * 1000 / changes, 1) for name, view in views.items()}
    count, seconds = (after - before for after, before in zip(processes.fragments(), answered, strict=True))

    def shown(name: str) -> Shown:
        return Shown(
            phase=Delays.of(one.pages[name][0] for one in seen), rest=Delays.of(one.pages[name][1] for one in seen)
        )

    return Beside(
        others=pages,
        changes=changes,
        list=shown("list"),
        run=shown("run"),
        told=Delays.of(at for one in seen for at in one.told) if pages else None,
        have=Delays.of(at for one in seen for at in one.have) if pages else None,
        fragments=round((seen[-1].fetched - fetched) / changes, 1),
        server_ms=round(1000 * seconds / count, 1),
        cpu_ms=cpu,
        memory_mb={name: view.memory_mb("VmRSS") for name, view in views.items()},
    )


def table(found: list[Beside]) -> str:
    """For people."""
    rows: list[tuple[str, list[object]]] = [
        (f"{found[0].changes} changes, ms p50 / p95 / most", [f"beside {one.others}" for one in found]),
        ("---", ["---"] * len(found)),
    ]
    for title, shown in (
        ("the list of runs", [one.list for one in found]),
        ("the page of a run", [one.run for one in found]),
    ):
        rows += [
            (f"{title}: the phase is shown (target p95 {TARGET_MS:.0f})", [one.phase for one in shown]),
            (f"{title}: the rest is shown", [one.rest for one in shown]),
        ]
    rows += [
        ("another page: told by its stream", [one.told or "–" for one in found]),
        ("another page: has its fragment", [one.have or "–" for one in found]),
        ("fragments of the others, a change", [one.fragments for one in found]),
        ("a fragment of the list, server time, ms", [one.server_ms for one in found]),
    ]
    for name in found[0].cpu_ms:
        rows.append((f"CPU of {name} a change, ms", [one.cpu_ms[name] for one in found]))
    for name in ("web", "live"):
        rows.append((f"memory of {name}, MB", [one.memory_mb[name] for one in found]))
    rows.append(("both pages, p95", ["reached" if one.reached else "missed" for one in found]))
    return "\n".join(f"| {title} | {' | '.join(str(value) for value in values)} |" for title, values in rows)


def as_json(found: list[Beside]) -> list[dict[str, Any]]:
    """For programs."""
    return [asdict(one) for one in found]
