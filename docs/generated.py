"""Pages that are generated: written, or compared with what is there; and the strings under attributes that they are made of."""

import ast
import itertools
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

REFERENCE = Path(__file__).parent / "reference"


def write(pages: Mapping[str, str], *, check: bool, folder: Path = REFERENCE) -> int:
    """Write the pages of a folder by name, or with ``check`` report which have drifted; returns the exit code."""
    drifted = []
    for name, text in pages.items():
        target = folder / name
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            drifted.append(name)
            if not check:
                target.write_text(text, encoding="utf-8")
    if check and drifted:
        sys.stderr.write(f"generated pages have drifted, run `make generate`: {', '.join(drifted)}\n")
        return 1
    return 0


def attribute_docs(body: Iterable[ast.stmt]) -> dict[str, str]:
    """The string under each attribute of a class or of its ``__init__``: Python keeps it only in the source."""
    docs: dict[str, str] = {}
    for before, node in itertools.pairwise(body):
        if not (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        ):
            continue
        targets = before.targets if isinstance(before, ast.Assign) else [getattr(before, "target", None)]
        for target in targets:
            name = target.id if isinstance(target, ast.Name) else getattr(target, "attr", None)
            if name is not None:
                docs[str(name)] = " ".join(node.value.value.split())
    return docs
