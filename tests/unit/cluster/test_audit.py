"""What `make audit` looks up, and what it says of the answers."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tidegate_audit import components, osv
from tidegate_audit.__main__ import main

ROOT = Path(__file__).resolve().parents[3]


class Database(ThreadingHTTPServer):
    """A server of OSV's querybatch with advisories by name, one a page."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.advisories: dict[str, list[str]] = {}
        self.broken = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def result(self, query: dict[str, Any]) -> dict[str, Any]:
        ids = self.advisories.get(f"{query['package']['ecosystem']} {query['package']['name']}", [])
        page = int(query.get("page_token", "0"))
        if page >= len(ids):
            return {}
        following = {"next_page_token": str(page + 1)} if page + 1 < len(ids) else {}
        return {"vulns": [{"id": ids[page]}], **following}


class _Handler(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results = [self.server.result(query) for query in asked["queries"]]
        body = b"<html>" if self.server.broken else json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def database() -> Iterator[Database]:
    with Database() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_dependencies_their_installers_and_vendored_files_are_looked_up() -> None:
    found = {(one.ecosystem, one.name) for one in components.found_in(ROOT)}
    assert {("PyPI", "kopf"), ("PyPI", "uv"), ("PyPI", "hatchling"), ("npm", "@tabler/core")} <= found
    assert ("PyPI", "tidegate-platform") not in found


def test_each_vendored_file_is_the_one_that_the_manifest_names() -> None:
    folder = (ROOT / components.VENDORED).parent
    manifest = json.loads((ROOT / components.VENDORED).read_text(encoding="utf-8"))
    present = {path.name for path in folder.iterdir()} - {"README.md", "vendored.json"}
    assert {name for name in present if not name.startswith("LICENSE.")} == set(manifest)
    for name, one in manifest.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == one["sha256"]


def test_advisories_of_all_pages_are_reported(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--service", database.url]) == 0
    database.advisories = {"PyPI kopf": ["GHSA-1", "PYSEC-2"], "npm @tabler/core": ["GHSA-3"]}
    assert main(["--service", database.url]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("PyPI kopf ")
    assert "osv.dev/vulnerability/GHSA-1, https://osv.dev/vulnerability/PYSEC-2" in lines[0]
    assert lines[1].endswith("osv.dev/vulnerability/GHSA-3")


def test_a_service_that_gives_no_answer_is_no_clean_audit(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    database.broken = True
    assert main(["--service", database.url]) == 2
    assert "nothing was looked up" in capsys.readouterr().err


def test_a_service_that_is_away_is_reported() -> None:
    with Database() as server:
        away = server.url
    with pytest.raises(osv.AuditError, match=r"can't reach 127.0.0.1:\d+, so nothing was looked up"):
        osv.advisories([components.Component("PyPI", "kopf", "1")], service=away)
