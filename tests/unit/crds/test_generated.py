"""The CRDs, as generated from the types."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_api.crd import KINDS, Kind, build_crd
from tidegate_api.generate import main, render_all


def fields(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
        if isinstance(field.get("items"), dict):
            yield from fields(field["items"], f"{path}.{name}[]")


def schema_of(kind: Kind) -> dict[str, Any]:
    made: dict[str, Any] = build_crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return made


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_every_field_is_described(kind: Kind) -> None:
    assert [p for p, f in fields(schema_of(kind)) if "description" not in f and p != ".metadata"] == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.name)
def test_a_schema_is_structural(kind: Kind) -> None:
    for path, field in fields(schema_of(kind)):
        assert "$ref" not in field, path
        assert (
            "type" in field or "x-kubernetes-preserve-unknown-fields" in field or "x-kubernetes-int-or-string" in field
        ), path
        assert field.get("type") != "number", f"{path}: no floats"


def test_the_files_in_the_repository_are_as_the_types_say() -> None:
    assert main(["--check", str(Path(__file__).resolve().parents[3])]) == 0


def test_a_drifted_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert main(["--check", str(tmp_path)]) == 0
    (tmp_path / "crds/queues.yaml").write_text("edited by hand", encoding="utf-8")
    assert main(["--check", str(tmp_path)]) == 1
    assert "crds/queues.yaml" in capsys.readouterr().err


def test_the_charts_copy_is_the_same() -> None:
    files = render_all()
    assert {p.removeprefix("helm/tidegate/files/") for p in files if p.startswith("helm/")} == {
        p for p in files if p.startswith("crds/")
    }
