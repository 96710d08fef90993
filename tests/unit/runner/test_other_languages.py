"""What the pages say about tasks in other languages, run as it stands there."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.pages import code_blocks
from support.servers import ensure_programs


@pytest.mark.parametrize(
    ("payload", "code", "result"),
    [
        ({"who": "world"}, 0, '{"greeted":"world"}'),
        ({}, 64, "the payload needs a text in `who`"),
    ],
)
def test_the_task_in_javascript(tmp_path: Path, payload: object, code: int, result: str) -> None:
    def node() -> Path | None:
        found = shutil.which("node")
        return Path(found) if found else None

    ensure_programs({"nodejs": node})
    (script,) = code_blocks("programs.md", "js")
    (tmp_path / "greet.mjs").write_text(script)
    (tmp_path / "payload.json").write_text(json.dumps(payload))
    environment = os.environ | {
        "TIDEGATE_PAYLOAD_FILE": str(tmp_path / "payload.json"),
        "TIDEGATE_RESULT_FILE": str(tmp_path / "result"),
        "TIDEGATE_ATTEMPT": "1",
        "TIDEGATE_MAX_ATTEMPTS": "3",
    }
    done = subprocess.run(["node", str(tmp_path / "greet.mjs")], env=environment, check=False, timeout=60)
    assert (done.returncode, (tmp_path / "result").read_text()) == (code, result)
