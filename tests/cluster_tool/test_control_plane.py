"""A control plane alone."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tidegate_cluster import waiting
from tidegate_cluster.control_plane import ControlPlane
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.processes import Process
from tidegate_cluster.stages import FAKE


def job(name: str, **annotations: str) -> str:
    marks = {FAKE + key.replace("_", "-"): value for key, value in annotations.items()}
    pod = {"restartPolicy": "Never", "containers": [{"name": "task", "image": "none"}]}
    template = {"metadata": {"annotations": marks}, "spec": pod}
    spec = {"backoffLimit": 0, "template": template}
    return json.dumps({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec})


def end_of(plane: ControlPlane, name: str) -> tuple[str, int, str]:
    """Phase, exit code and message of a Job's pod, once it has ended."""

    def ended() -> tuple[str, int, str] | None:
        for pod in json.loads(plane.kubectl("get", "pods", f"--selector=job-name={name}", "--output=json"))["items"]:
            if pod["status"].get("phase") in ("Succeeded", "Failed"):
                terminated = pod["status"]["containerStatuses"][0]["state"]["terminated"]
                return pod["status"]["phase"], terminated["exitCode"], terminated.get("message", "")
        return None

    found = waiting.until(ended, what=f"the pod of {name} to end", seconds=30)
    assert found
    return found


def test_requests_are_counted_by_actor_and_rights_are_rbac() -> None:
    with ControlPlane(actors={"operator": []}) as plane, ControlPlane() as other:
        assert plane.url != other.url
        with pytest.raises(ClusterError, match="forbidden"):
            plane.kubectl("get", "--raw=/api/v1/namespaces/default/configmaps", actor="operator")
        plane.kubectl("get", "--raw=/api/v1/namespaces/default")
        (refused,) = plane.requests("operator")
        assert (refused.what, refused.namespace, refused.code) == ("list configmaps", "default", 403)
        assert "get namespaces" in {entry.what for entry in plane.requests("admin")}
        assert other.requests("operator") == []


def test_state_outlives_the_apiserver_and_old_versions_expire() -> None:
    with ControlPlane() as plane:
        plane.kubectl("create", "configmap", "kept")
        first = json.loads(plane.kubectl("get", "--raw=/api/v1/configmaps?limit=1"))
        plane.kubectl("create", "configmap", "another")
        plane.compact()
        plane.stop_apiserver(hard=True)
        with pytest.raises(ClusterError):
            plane.kubectl("get", "configmap", "kept")
        plane.start_apiserver()
        assert "kept" in plane.kubectl("get", "configmap", "kept")
        with pytest.raises(ClusterError, match=r"Gone|too old|expired"):
            plane.kubectl("get", f"--raw=/api/v1/configmaps?limit=1&continue={first['metadata']['continue']}")


def test_fake_pods_end_as_their_annotations_say() -> None:
    with ControlPlane(pods="complete") as plane:
        for text in (job("good"), job("bad", exit_code="3", message="it broke"), job("held", hold="yes")):
            plane.kubectl("create", "--filename=-", stdin=text)
        assert end_of(plane, "good") == ("Succeeded", 0, "")
        assert end_of(plane, "bad") == ("Failed", 3, "it broke")
        held = plane.kubectl("get", "pods", "--selector=job-name=held", "--output=name").strip()
        assert plane.kubectl("get", held, "--output=jsonpath={.status.phase}") == "Running"
        plane.kubectl("patch", held, "--patch", '{"spec": {"activeDeadlineSeconds": 1}}')
        assert end_of(plane, "held") == ("Failed", 143, "")


def test_nothing_outlives_a_killed_test(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; import sys\n"
        "from tidegate_cluster.control_plane import ControlPlane\n"
        "plane = ControlPlane(directory=Path(sys.argv[1])).start()\n"
        "print(*(p.pid for p in plane._processes.values()), flush=True)\n"
        "input()\n"
    )
    package = str(Path(__file__).resolve().parents[2] / "cluster")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "plane")],
        env={**os.environ, "PYTHONPATH": package},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        processes = [Process.of(int(pid)) for pid in holder.stdout.readline().split()]
        assert len(processes) == 2
        holder.kill()
    waiting.until(
        lambda: not any(process and process.alive for process in processes), what="the processes to end", seconds=10
    )


def test_a_plane_started_in_a_thread_outlives_the_thread() -> None:
    started: list[ControlPlane] = []
    thread = threading.Thread(target=lambda: started.append(ControlPlane().start()))
    thread.start()
    thread.join()
    try:
        assert "default" in started[0].kubectl("get", "namespaces")
    finally:
        started[0].stop()
