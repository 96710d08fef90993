"""Each part imports what its image has: the distributions of its extra in pyproject.toml, and what these need.

All extras are installed where tests run, so an import that another part alone declares works here and fails in the image.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT: Final = Path(__file__).parents[3]
PARTS: Final = {
    "operator": ("operator/tidegate_operator", "crds/tidegate_api"),
    "web": ("webapp/tidegate_web", "crds/tidegate_api"),
    "cli": ("cli/tidegate_cli",),
}
OWN: Final = ("tidegate", "tidegate_api", "tidegate_cli", "tidegate_operator", "tidegate_web")


def imported(folder: Path) -> Iterator[tuple[str, Path]]:
    """The packages that the code of a folder imports when it runs."""
    for path in folder.rglob("*.py"):
        for node in executed(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((name.name.partition(".")[0], path) for name in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0], path


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """All below a node but what is there for the type checker alone."""
    yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    for child in ast.iter_child_nodes(node):
        yield from executed(child)


def installed(declared: list[str]) -> set[str]:
    """The distributions that these requirements bring, by their normalized names."""
    found: set[tuple[str, str]] = set()
    wanted = [Requirement(each) for each in declared]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *sorted(requirement.extras)):
            if (name, extra) not in found:
                found.add((name, extra))
                wanted += [
                    each for each in needs(name) if each.marker is None or each.marker.evaluate({"extra": extra})
                ]
    return {name for name, _ in found}


@cache
def needs(name: str) -> tuple[Requirement, ...]:
    try:
        return tuple(map(Requirement, requires(name) or ()))
    except PackageNotFoundError:
        return ()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_imports_what_its_extra_brings(part: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    there = installed([*project["dependencies"], *project["optional-dependencies"][part]])
    providers = packages_distributions()
    missing = {
        f"{package}, in {path.relative_to(CHECKOUT)}"
        for folder in PARTS[part]
        for package, path in imported(CHECKOUT / folder)
        if package not in sys.stdlib_module_names
        and package not in OWN
        and not there & {canonicalize_name(each) for each in providers.get(package, ())}
    }
    assert missing == set()
