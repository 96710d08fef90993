"""Where servers of tests keep their data."""

import tempfile
from pathlib import Path

import pytest
from tidegate_cluster import scratch


def test_in_memory_only_where_there_is_plenty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    monkeypatch.delenv("TMPDIR", raising=False)
    assert scratch.make("x-", memory=memory, needed=1).parent == memory
    usual = Path(tempfile.gettempdir())
    for folder, needed in ((memory, 1 << 60), (tmp_path / "not there", 1)):
        made = scratch.make("x-", memory=folder, needed=needed)
        assert made.parent == usual
        made.rmdir()


def test_who_sets_tmpdir_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert scratch.make("x-", memory=tmp_path / "memory", needed=0).parent == tmp_path
