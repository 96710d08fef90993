"""Between operator and apiserver one packet in ten is lost: runs take longer, and nothing is lost or doubled."""

import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.builders import a_queue, a_run
from support.lossy import dropped, lossy
from support.operator import OperatorProcess, Runs
from tidegate_cluster.control_plane import ControlPlane

PERCENT = 10
RUNS = 20


def test_runs_end_once_over_a_network_that_loses_packets(plane: ControlPlane, runs: Runs, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("losing packets needs root, who may set rules for them")
    port = urlsplit(plane.url).port
    assert port is not None
    names = [f"lossy-{number:02}" for number in range(RUNS)]
    manifests = [a_queue("lossy", concurrencyLimit=5)]
    manifests += [a_run(name).pod(duration="200ms").spec(queue="lossy").built for name in names]
    with OperatorProcess(plane, log=tmp_path / "log") as operator:
        operator.wait_leading()
        runs.kube.create_all(manifests)
        with lossy(port, percent=PERCENT):
            for name in names:
                runs.wait(name, "Succeeded")
            assert dropped(port) > 0
        assert operator.exit_code is None
    for name in names:
        assert len(runs.jobs(name)) == 1
        assert [a["number"] for a in runs.get(name)["status"]["attempts"]] == [1]
