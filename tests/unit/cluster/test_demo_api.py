"""The client of the demo and of the tests finds its certificates, whoever else uses the same kubeconfig."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml
from tidegate_demo.api import connect

KEY = b"x" * 50_000


def write_kubeconfig(path: Path) -> None:
    user = {
        "client-certificate-data": base64.b64encode(b"c").decode(),
        "client-key-data": base64.b64encode(KEY).decode(),
    }
    written = {
        "clusters": [{"name": "one", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "one", "user": user}],
        "contexts": [{"name": "one", "context": {"cluster": "one", "user": "one"}}],
        "current-context": "one",
    }
    path.write_text(yaml.safe_dump(written))


def test_those_who_connect_at_once_see_whole_certificates(tmp_path: Path) -> None:
    kubeconfig, kept = tmp_path / "config", tmp_path / "config.client-key.pem"
    write_kubeconfig(kubeconfig)
    connect(kubeconfig)

    def connect_and_read(_: int) -> bool:
        connect(kubeconfig)
        return kept.read_bytes() == KEY

    with ThreadPoolExecutor(max_workers=8) as at_once:
        assert all(at_once.map(connect_and_read, range(100)))
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert {path.suffix for path in tmp_path.iterdir()} == {"", ".pem"}
