"""Each field of the contract has a test of what it does that names it; one that is only accepted would be a promise broken."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_api.crd import KINDS, Kind, structural_schema

TESTS = Path(__file__).resolve().parents[2]
STAGES = ("unit/operator", "control_plane", "cluster")
ELSEWHERE = {"spec.maxPending": "a limit of the HTTP API, which the operator doesn't read"}


def fields(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, below in (schema.get("properties") or {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from fields(below, here)
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"], path)


@pytest.fixture(scope="module")
def text() -> str:
    return "\n".join(p.read_text(encoding="utf-8") for stage in STAGES for p in sorted((TESTS / stage).glob("*.py")))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_field_is_named_by_a_test(kind: Kind, text: str) -> None:
    names = {path: path.rpartition(".")[2] for path in fields(structural_schema(kind.model)) if path not in ELSEWHERE}
    missing = [path for path, name in names.items() if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert missing == []
