"""Records change through the cache and its indexes alone: no other module assigns to an attribute of one."""

import ast
from dataclasses import fields
from pathlib import Path

import tidegate_operator
from tidegate_operator.records.attempt import AttemptRecord, PodRecord
from tidegate_operator.records.run import RunRecord, RunTracking, StatusRecord

PACKAGE = Path(tidegate_operator.__file__).parent
INSIDE = {"state", "records"}
SUBJECTS = {"run", "tracked", "attempt", "pod", "record", "status", "known", "waiting"}
FIELDS = {f.name for kind in (RunRecord, RunTracking, StatusRecord, AttemptRecord, PodRecord) for f in fields(kind)}


def assignments(path: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if not isinstance(part, ast.Attribute):
                    continue
                subject = part.value.id if isinstance(part.value, ast.Name) else getattr(part.value, "attr", "")
                if subject in SUBJECTS and part.attr in FIELDS:
                    found.append(f"{path.name}:{part.lineno} {ast.unparse(part)}")
    return found


def test_no_module_but_the_caches_assigns_to_a_record() -> None:
    outside = [p for p in PACKAGE.rglob("*.py") if p.parent.name not in INSIDE]
    assert [hit for path in outside for hit in assignments(path)] == []


def test_the_check_sees_what_it_looks_for() -> None:
    assert assignments(PACKAGE / "state" / "cache.py")
