"""Check promises.md and SECURITY.md: pytest collects each test that a row names.

A promise names each field of the resources, and a boundary of the threat model has a test without exception.
"""

import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tidegate_api.crd import KINDS, structural_schema

ROOT: Final = Path(__file__).resolve().parents[1]
PROMISES: Final = ROOT / "docs/promises.md"
SECURITY: Final = ROOT / "SECURITY.md"
NONE_YET: Final = "none yet: "
WITHOUT_TEST: Final = 3
"""Promises that no test asserts. It may only become smaller."""


@dataclass(frozen=True)
class Promise:
    """A row of the page."""

    line: int
    text: str
    tests: tuple[str, ...]
    none_yet: bool


def parse(page: str) -> list[Promise]:
    """The rows of all tables of the page that name tests, but their heads."""
    lines = page.splitlines()
    found = []
    names_tests = False
    for number, line in enumerate(lines, start=1):
        below = lines[number] if number < len(lines) else ""
        if below.startswith("|---"):
            names_tests = line.endswith("| tests |")
            continue
        if not names_tests or not line.startswith("|") or line.startswith("|---"):
            continue
        text, _, tests = line.strip("| ").partition(" | ")
        found.append(Promise(number, text, tuple(re.findall(r"`([^`]+)`", tests)), tests.startswith(NONE_YET)))
    return found


def fields(schema: dict[str, Any]) -> Iterator[str]:
    """The names of all fields of a schema, at any depth."""
    for name, below in (schema.get("properties") or {}).items():
        yield name
        yield from fields(below)
    if isinstance(schema.get("items"), dict):
        yield from fields(schema["items"])


def named_fields(promises: Sequence[Promise]) -> set[str]:
    """The names in backticks, of a path each part: `retry.maxAttempts` names both."""
    paths = [path for promise in promises for path in re.findall(r"`([A-Za-z0-9.]+)`", promise.text)]
    return {name for path in paths for name in path.split(".")}


def faults(promises: Sequence[Promise], *, collected: Collection[str], wanted: Collection[str], most: int) -> list[str]:
    """What is wrong with the page, a line each. ``most``: promises that may be without a test."""
    told = []
    for promise in promises:
        if not promise.tests and not promise.none_yet:
            told.append(f"line {promise.line}: no test in backticks, and no '{NONE_YET.strip()}' with a reason")
        told += [
            f"line {promise.line}: pytest doesn't collect {test}"
            for test in promise.tests
            if not promise.none_yet and test not in collected
        ]
    named = named_fields(promises)
    told += [f"no promise names the field `{name}`" for name in sorted(set(wanted)) if name not in named]
    count = sum(promise.none_yet for promise in promises)
    if count > most:
        told.append(f"{count} promises have no test and {most} may: write a test")
    if count < most:
        told.append(f"{count} promises have no test: lower WITHOUT_TEST to that, so that it stays so")
    return told


def collect(tests: Collection[str]) -> set[str]:
    """The ids, without parameters, of what pytest collects in the files of these tests. It starts no server."""
    files = sorted({path for path in (test.partition("::")[0] for test in tests) if (ROOT / path).is_file()})
    options = ("--collect-only", "-q", "--assert=plain", "-p", "no:cacheprovider")  # plain: nothing is compiled anew
    command = [sys.executable, "-m", "pytest", *options, *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"pytest can't collect the tests:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


def main() -> int:
    """Tell what is wrong; returns the exit code."""
    promises, boundaries = (parse(page.read_text(encoding="utf-8")) for page in (PROMISES, SECURITY))
    named = [row for row in (*promises, *boundaries) if not row.none_yet]
    collected = collect({test for row in named for test in row.tests})
    wanted = {name for kind in KINDS for name in fields(structural_schema(kind.model))}
    told = [
        *((PROMISES, fault) for fault in faults(promises, collected=collected, wanted=wanted, most=WITHOUT_TEST)),
        *((SECURITY, fault) for fault in faults(boundaries, collected=collected, wanted=(), most=0)),
    ]
    for page, fault in told:
        sys.stderr.write(f"{page.relative_to(ROOT)}: {fault}\n")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
