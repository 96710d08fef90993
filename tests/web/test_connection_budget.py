"""How many connections to Postgres the processes of an installation open, with the chart's sizes of pools and two of each."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import requests
import yaml
from support.web import Events, Stack

CHART = Path(__file__).resolve().parents[2] / "helm" / "tidegate"
COMMANDS = {"web": "serve", "live": "live", "mirror": "mirror"}
NAMES = [f"tidegate-{part}" for part in (*COMMANDS, "start")]
ROOM = 80
"""Of the 100 that Postgres has by default three are for superusers, and some for backups and people."""


class Count(threading.Thread):
    """Looks all the time how many connections there are to a database, by the name of the process."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._connection = psycopg.connect(url, autocommit=True)
        self._end = threading.Event()
        self.most: dict[str, int] = {}
        self.most_at_once = 0

    def run(self) -> None:
        with self._connection as connection:
            while not self._end.wait(0.01):
                found: dict[str, int] = dict(
                    connection.execute(
                        "SELECT application_name, count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND application_name = ANY(%s) GROUP BY 1",
                        (NAMES,),
                    ).fetchall()
                )
                self.most_at_once = max(self.most_at_once, sum(found.values()))
                for name, number in found.items():
                    self.most[name] = max(self.most.get(name, 0), number)

    def end(self) -> None:
        self._end.set()
        self.join()


@contextmanager
def counted(url: str) -> Iterator[Count]:
    count = Count(url)
    count.start()
    try:
        yield count
    finally:
        count.end()


def test_two_of_each_stay_within_their_pools_under_load(stack: Stack, tmp_path: Path) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    sizes = {part: int(values[part]["databasePoolSize"]) for part in COMMANDS}
    me = stack.parts("web").sign_in()
    key = stack.parts("web").key("operator").key
    with counted(stack.database_url) as count, ExitStack() as running:
        served = {
            part: [
                running.enter_context(
                    stack.process(
                        command,
                        actor="mirror" if part == "mirror" else "web",
                        log=tmp_path / f"{part}-{number}.log",
                        database_pool_size=sizes[part],
                        namespaces=[stack.project],
                    )
                )
                for number in range(2)
            ]
            for part, command in COMMANDS.items()
        }

        def load(number: int) -> set[int]:
            process = served["web"][number % 2]
            root = f"http://127.0.0.1:{process.port}/api/v1/projects/{stack.project}"
            codes = set()
            with requests.Session() as session:
                session.headers["Authorization"] = f"Bearer {key}"
                for turn in range(12):
                    if turn % 4 == 0:
                        made = session.post(
                            f"{root}/runs", json={"name": f"r-{number}-{turn}", "taskRef": {"name": "t"}}
                        )
                        codes.add(made.status_code)
                    codes |= {
                        session.get(f"{root}/{path}", timeout=120).status_code for path in ("runs", "stats", "members")
                    }
            return codes

        def stream(number: int) -> int:
            process = served["live"][number % 2]
            url = f"http://127.0.0.1:{process.port}/live/v1/projects/{stack.project}/events"
            with Events(url, cookie=me.cookie()) as events:
                return events.status

        with ThreadPoolExecutor(72) as threads:
            streams = [threads.submit(stream, number) for number in range(24)]
            codes = set().union(*threads.map(load, range(48)))
            assert {each.result() for each in streams} == {200}
        assert {code for code in codes if code >= 400} <= {403}, codes
    for part, size in sizes.items():
        assert 2 <= count.most[f"tidegate-{part}"] <= 2 * size, count.most
    assert count.most["tidegate-web"] > sizes["web"], "the load asks for more than one process has"
    assert count.most_at_once <= 2 * sum(sizes.values()) <= ROOM
