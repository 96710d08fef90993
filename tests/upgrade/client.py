"""A client in the cluster while a release is upgraded: reads, creates runs, follows streams, and says at the end what it has met.

Runs in a pod, as `python -c`, with the standard library alone. It ends when the file /tmp/stop is there.
"""

import http.client
import json
import os
import threading
import time
import urllib.parse
from pathlib import Path

BASE = urllib.parse.urlsplit(os.environ["BASE"])
HOST, PORT = BASE.hostname or "", BASE.port or 80
PROJECT, KEY = os.environ["PROJECT"], os.environ["KEY"]
READERS, READS_A_SECOND, STREAMS = 10, 2.0, 20
STOP = Path("/tmp/stop")
PATH = f"/api/v1/projects/{PROJECT}/runs"
LIVE = f"/live/v1/projects/{PROJECT}/events"
HEADERS = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}


class Met:
    """What was met, of all threads."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.answers: dict[int, int] = {}
        self.refused, self.reconnects, self.events, self.longest_gap = 0, 0, 0, 0.0
        self.failed: list[str] = []
        self.created: list[str] = []

    def answered(self, code: int) -> None:
        with self.lock:
            self.answers[code] = self.answers.get(code, 0) + 1

    def as_json(self) -> str:
        with self.lock:
            return json.dumps({name: value for name, value in vars(self).items() if name != "lock"})


met, stopping = Met(), threading.Event()


def ask(method: str, path: str, body: str | None = None) -> int:
    """One request on a connection of its own. A connection that can't be made, or breaks, is tried once more, as clients do."""
    for last in (False, True):
        connection = http.client.HTTPConnection(HOST, PORT, timeout=20)
        try:
            connection.request(method, path, body=body, headers=HEADERS)
            answer = connection.getresponse()
            text = answer.read()
            met.answered(answer.status)
            if answer.status >= 500:
                with met.lock:
                    met.failed.append(f"{method} {path}: {answer.status} {text[:200]!r}")
            return answer.status
        except OSError as error:
            with met.lock:
                met.refused += 1
                if last:
                    met.failed.append(f"{method} {path}: {error!r}")
            time.sleep(0.5)
        finally:
            connection.close()
    return 0


def read() -> None:
    while not stopping.is_set():
        ask("GET", PATH + "?limit=5")
        stopping.wait(1 / READS_A_SECOND)


def create() -> None:
    number = 0
    while not stopping.is_set():
        number += 1
        for task, payload in (("brief", {}), ("mood", {"text": "great work"})):
            name = f"made-{task}-{number}"
            body = {"taskRef": {"name": task}, "payload": payload, "name": name}
            code = ask("POST", PATH, json.dumps(body))
            if code in (201, 409):  # 409: its first try was carried out, and its answer lost
                with met.lock:
                    met.created.append(name)
            else:
                with met.lock:
                    met.failed.append(f"{name} was not created: {code}")
        stopping.wait(1)


def follow() -> None:
    """One stream after the other: how long it takes from the end of one to the beginning of the next."""
    ended: float | None = None
    while not stopping.is_set():
        connection = http.client.HTTPConnection(HOST, PORT, timeout=30)
        try:
            connection.request("GET", LIVE, headers=HEADERS)
            answer = connection.getresponse()
            if answer.status != 200:
                with met.lock:
                    met.failed.append(f"stream: {answer.status}")
                time.sleep(0.5)
                continue
            for line in answer:
                if ended is not None:
                    with met.lock:
                        met.reconnects += 1
                        met.longest_gap = max(met.longest_gap, time.monotonic() - ended)
                    ended = None
                if line.startswith(b"data:"):
                    with met.lock:
                        met.events += 1
                if stopping.is_set():
                    return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
            ended = ended or time.monotonic()


def main() -> None:
    threads = [threading.Thread(target=read, daemon=True) for _ in range(READERS)]
    threads += [threading.Thread(target=create, daemon=True)]
    threads += [threading.Thread(target=follow, daemon=True) for _ in range(STREAMS)]
    for thread in threads:
        thread.start()
    while not STOP.exists():
        time.sleep(0.5)
    stopping.set()
    for thread in threads[: READERS + 1]:
        thread.join(30)
    print(met.as_json(), flush=True)


if __name__ == "__main__":
    main()
