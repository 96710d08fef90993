"""A throw-away control plane on loopback for tests and benchmarks: a real apiserver in about four seconds, without root.

    with ControlPlane(actors=("admin", "operator")) as plane:
        plane.kubectl("apply", "-f", "crds/")

Several can run at once. They end with the process that made them, however it ends.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from . import audit, commands, host, kubeconfig, pki, programs, scratch, settings, stages, waiting
from .api import Api
from .errors import ClusterError

_INTERNAL = ("kcm", "scheduler", "kwok", "audit-marker")
_ADMINS = ("system:masters",)
_TRIES = 3
_READY_SECONDS = 180.0
# Below the range that the kernel takes outgoing connections' ports from: one of those could take a port that was free.
_PORTS = (20000, 30000)

Pods = Literal["none", "run", "complete"]


class ControlPlane:
    """etcd and kube-apiserver, on request the Job controller and its kin, and a fake node whose pods live and die."""

    def __init__(
        self,
        *,
        actors: Sequence[str] | Mapping[str, Sequence[str]] = ("admin",),
        controllers: bool = False,
        pods: Pods = "none",
        apiserver_args: Sequence[str] = (),
        directory: Path | None = None,
    ) -> None:
        """Describe one; nothing runs before `start` or `with`.

        actors: users with a token each; cluster admins, or with the groups that the mapping says ([] for RBAC only).
        controllers: kube-controller-manager runs (Jobs make pods, owners take what they own along).
        pods: scheduler and a fake node run; `complete` ends a pod at once, `run` when an annotation says so (see stages).
        directory: an empty one to keep state and logs in; without it a temporary one is used and removed.
        """
        groups = actors if isinstance(actors, Mapping) else dict.fromkeys(actors, _ADMINS)
        self._groups: Mapping[str, Sequence[str]] = {
            "admin": _ADMINS,
            **groups,
            **dict.fromkeys(_INTERNAL, _ADMINS),
        }
        self._tokens = {actor: f"{actor}-{uuid.uuid4().hex}" for actor in self._groups}
        self._controllers = controllers or pods != "none"
        self._pods = pods
        self._apiserver_args = tuple(apiserver_args)
        self._given_directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._guard: subprocess.Popen[bytes] | None = None
        self._directory = Path()
        self._programs = Path()
        self._ports: Sequence[int] = ()
        self._audit: audit.AuditLog | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The apiserver's address."""
        return f"https://127.0.0.1:{self._ports[0]}"

    @property
    def ca_file(self) -> Path:
        """The authority that signed the apiserver's certificate."""
        return self._directory / "pki/ca.crt"

    @property
    def directory(self) -> Path:
        """State, and logs in log/."""
        return self._directory

    def start(self) -> Self:
        """Start everything and return when it answers."""
        found = settings.from_environment()
        host.ensure(("openssl",), settings=found)
        self._programs = programs.require(settings=found)
        self._directory = self._given_directory or scratch.make("tidegate-control-plane-")
        try:
            self._write_files()
            self._audit = audit.AuditLog(self._directory / "audit.log")
            for attempt in range(1, _TRIES + 1):
                try:
                    self._start_store()
                    self.start_apiserver()
                    break
                except ClusterError as error:
                    # Between finding a free port and listening on it another process may take it.
                    self._end_processes()
                    if attempt == _TRIES or "in use" not in str(error):
                        raise
            if self._controllers:
                self._start_controllers()
            if self._pods != "none":
                self._start_pods()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End all processes and remove the temporary directory."""
        self._end_processes()
        if self._given_directory is None and self._directory != Path():
            shutil.rmtree(self._directory, ignore_errors=True)

    def token(self, actor: str = "admin") -> str:
        """An actor's bearer token."""
        if actor not in self._tokens:
            raise ClusterError(f"no actor {actor}: name it in ControlPlane(actors=...)")
        return self._tokens[actor]

    def kubeconfig(self, actor: str = "admin") -> Path:
        """An actor's kubeconfig."""
        # A list of kubeconfigs is separated by colons, which are in the names of service accounts.
        path = self._directory / f"{actor.replace(':', '.')}.kubeconfig"
        return kubeconfig.write(path, server=self.url, ca=self.ca_file, name=actor, token=self.token(actor))

    def kubectl(self, *args: str | Path, stdin: str | None = None, actor: str = "admin") -> str:
        """What kubectl prints; its complaint becomes a ClusterError."""
        command = [str(self._programs / "kubectl"), "--kubeconfig", str(self.kubeconfig(actor)), *map(str, args)]
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, check=False, timeout=300)
        if done.returncode:
            raise ClusterError(done.stderr.strip())
        return done.stdout

    def requests(self, actor: str | None = None) -> list[audit.AuditEntry]:
        """All that an actor asked until now, without one all of them.

        A service account is an actor too, by its whole name; the control plane's own parts are only asked by theirs:
        kcm, scheduler, kwok, system:apiserver.
        """
        # The log is written in order while requests are answered: once a marker is there, all that ended before is.
        marker = f"/healthz?marker={uuid.uuid4().hex}"
        self._api("audit-marker").status(marker)
        entries = waiting.until(lambda: self._entries_to(marker), what="the audit log", seconds=10)
        wanted = {actor} if actor else self._groups.keys() - set(_INTERNAL)
        return [entry for entry in entries if entry.user in wanted]

    def stop_apiserver(self, *, hard: bool = False) -> None:
        """Take the apiserver away; `hard` kills it, else it ends its requests first."""
        self._end("kube-apiserver", hard=hard)

    def start_apiserver(self) -> None:
        """Start the apiserver (again) with the state it had, and wait until it is ready."""
        port, store, _ = self._ports
        d = self._directory
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{store}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--tls-cert-file={d}/pki/apiserver.crt",
            f"--tls-private-key-file={d}/pki/apiserver.key",
            f"--token-auth-file={d}/tokens.csv",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={d}/pki/sa.pub",
            f"--service-account-signing-key-file={d}/pki/sa.key",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=RBAC",
            # Without endpoints of its own the apiserver starts a second sooner and stops at once.
            "--endpoint-reconciler-type=none",
            "--max-requests-inflight=2000",
            "--max-mutating-requests-inflight=1000",
            f"--audit-policy-file={d}/audit-policy.json",
            f"--audit-log-path={d}/audit.log",
            "--audit-log-mode=blocking",
            "--audit-log-maxsize=8000",
            *self._apiserver_args,
        )
        api = self._api("admin")
        self._wait("kube-apiserver", lambda: api.status("/readyz") == 200)

    def compact(self) -> None:
        """Forget old revisions in etcd: continue tokens and old resourceVersions are answered with 410.

        A running apiserver still has what it saw in its cache, so restart it for that.
        """
        latest = json.loads(self._etcd("range", {"key": "AA==", "limit": 1}))["header"]["revision"]
        self._etcd("compaction", {"revision": latest, "physical": True})

    def back_up(self) -> None:
        """Keep etcd's data as they are now; everything is away for a moment."""
        self._without_store(lambda data, kept: shutil.copytree(data, kept))

    def restore(self) -> None:
        """Put back what was kept: what was written since has never been, and versions are given again."""

        def put_back(data: Path, kept: Path) -> None:
            shutil.rmtree(data)
            shutil.copytree(kept, data)

        self._without_store(put_back)

    def _without_store(self, act: Callable[[Path, Path], object]) -> None:
        self.stop_apiserver(hard=True)
        self._end("etcd", hard=False)
        act(self._directory / "etcd", self._directory / "etcd.kept")
        self._spawn_store()
        self.start_apiserver()

    def _etcd(self, method: str, body: Mapping[str, object]) -> str:
        url = f"http://127.0.0.1:{self._ports[1]}/v3/kv/{method}"
        return commands.post(url, json.dumps(body))

    def _api(self, actor: str) -> Api:
        return Api(url=self.url, ca=self.ca_file, token=self.token(actor))

    def _entries_to(self, marker: str) -> Sequence[audit.AuditEntry]:
        assert self._audit is not None
        entries = self._audit.entries()
        return entries if any(entry.uri == marker for entry in entries) else []

    def _write_files(self) -> None:
        d = self._directory
        (d / "log").mkdir(parents=True)
        authority = pki.Authority(directory=d / "pki")
        authority.create()
        authority.issue(name="apiserver", subject="/CN=kube-apiserver", names=["DNS:localhost", "IP:127.0.0.1"])
        rows = [f'{self._tokens[a]},{a},{a},"{",".join(groups)}"\n' for a, groups in self._groups.items()]
        with os.fdopen(os.open(d / "tokens.csv", os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.writelines(rows)
        (d / "audit-policy.json").write_text(json.dumps(audit.POLICY))

    def _start_store(self) -> None:
        self._ports = _free_ports(count=3)
        self._spawn_store()

    def _spawn_store(self) -> None:
        _, port, peer = self._ports
        self._spawn(
            "etcd",
            f"--data-dir={self._directory}/etcd",
            "--unsafe-no-fsync",
            f"--listen-client-urls=http://127.0.0.1:{port}",
            f"--advertise-client-urls=http://127.0.0.1:{port}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            f"--quota-backend-bytes={8 << 30}",
        )

    def _start_controllers(self) -> None:
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig('kcm')}",
            "--leader-elect=false",
            "--secure-port=0",
            f"--service-account-private-key-file={self._directory}/pki/sa.key",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            "--concurrent-job-syncs=20",
            "--concurrent-gc-syncs=20",
            # The fake node sends no heartbeats: a session of tests must not outlive it.
            "--node-monitor-grace-period=24h",
        )
        self._wait("kube-controller-manager", self._present("/api/v1/namespaces/default/serviceaccounts/default"))

    def _start_pods(self) -> None:
        self._spawn(
            "kube-scheduler",
            f"--kubeconfig={self.kubeconfig('scheduler')}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        )
        path = self._directory / "stages.yaml"
        path.write_text(stages.render(complete=self._pods == "complete"))
        self.kubectl("create", "-f", "-", stdin=json.dumps(stages.node(name="fake")))
        self._spawn(
            "kwok",
            f"--kubeconfig={self.kubeconfig('kwok')}",
            "--manage-all-nodes=true",
            f"--config={path}",
            "--node-lease-duration-seconds=0",
            "--server-address=",
        )
        self._wait("kwok", self._node_ready)

    def _node_ready(self) -> bool:
        node = self._api("admin").get("/api/v1/nodes/fake") or {}
        conditions = node.get("status", {}).get("conditions", [])
        taints = node.get("spec", {}).get("taints", [])
        return not taints and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    def _present(self, path: str) -> Callable[[], bool]:
        api = self._api("admin")
        return lambda: api.status(path) == 200

    def _spawn(self, name: str, *args: str) -> None:
        if self._guard is None:
            # All processes join the guard's group. Its input closes with this process, and then it kills the group.
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", "read _; kill -KILL 0"], stdin=subprocess.PIPE, process_group=0
            )
        with (self._directory / "log" / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(self._programs / name), *args],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                process_group=self._guard.pid,
            )

    def _wait(self, name: str, condition: Callable[[], bool]) -> None:
        def met() -> bool:
            for process, running in self._processes.items():
                if running.poll() is not None:
                    raise ClusterError(f"{process} ended: {self._last_words(process)}")
            return condition()

        try:
            waiting.until(met, what=name, seconds=_READY_SECONDS)
        except ClusterError as error:
            raise ClusterError(f"{error}; its last words: {self._last_words(name)}") from error

    def _last_words(self, name: str) -> str:
        return commands.last_line((self._directory / "log" / f"{name}.log").read_text(errors="replace"))

    def _end_processes(self) -> None:
        # Clients first: they would spend their last seconds on retries.
        for name in ("kwok", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"):
            self._end(name, hard=True)
        if self._guard is not None:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _end(self, name: str, *, hard: bool) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        if not hard:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            process.kill()
        process.wait()


def _free_ports(*, count: int) -> Sequence[int]:
    found: list[socket.socket] = []
    try:
        while len(found) < count:
            candidate = socket.socket()
            found.append(candidate)
            try:
                candidate.bind(("127.0.0.1", random.randint(*_PORTS)))  # noqa: S311 - no secret
            except OSError:
                found.pop().close()
        return [one.getsockname()[1] for one in found]
    finally:
        for one in found:
            one.close()
