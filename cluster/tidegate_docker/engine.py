"""A Docker engine in name spaces of its own: what it does to the host's rules, links and mounts ends with it.

dockerd closes the host's FORWARD chain and adds its own, which takes the way from clusters without Docker. In a network name
space it does that to itself. Commands are run beside it (`run`), where `docker`, published ports and `localhost` are as
they are on a host with Docker; to the outside leads slirp4netns, which needs no rule of the host.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tidegate_cluster import archive, cgroups, commands, failing, host, processes, waiting
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.machine import Machine
from tidegate_cluster.processes import Process
from tidegate_cluster.settings import Settings
from tidegate_images import bases, debian
from tidegate_images.bases import Base

from . import node_image, packages, runc

_READY_SECONDS = 60.0
_BRIDGE = "172.31.255.1/24"
_POOL = "base=172.31.0.0/17,size=24"  # of the networks that are made, kind's among them
_CGROUP = "tidegate-docker"
_REGISTRY_PORT = 5000
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_SHARED = ("docker", "go", "programs", "tools", "uv", "wheels")  # of the cache
_PACKAGES = ("catatonit", "iproute2", "iptables", "slirp4netns")

_BOOT = """
mount --make-rshared /
mount -t tmpfs -o mode=755 tidegate /run
resolver=$(readlink -m /etc/resolv.conf)
mkdir -p "$(dirname "$resolver")"
test -e "$resolver" || touch "$resolver"
mount --bind {resolver} "$resolver"
mkdir -p /run/tidegate/bin
ln -sf {root}/usr/bin/* {root}/usr/sbin/* /run/tidegate/bin
mv /run/tidegate/bin/runc /run/tidegate/bin/runc.real
ln -s {runc} /run/tidegate/bin/runc
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
cd /
exec catatonit -P
"""
_REGISTRY = """version: 0.1
storage: {{filesystem: {{rootdirectory: {directory}}}, delete: {{enabled: true}}}}
http: {{addr: ":{port}"}}
log: {{level: warn}}
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """The one engine of a state directory, with a registry beside it at localhost:5000."""

    settings: Settings

    @property
    def directory(self) -> Path:
        """All that it keeps."""
        return self.settings.state / "docker"

    def up(self) -> None:
        """A running engine; on failure nothing is left but its log."""
        if self.running():
            return
        if os.geteuid() != 0:
            raise ClusterError("a Docker engine of our own needs root: start Docker, or run this again as root")
        host.ensure(_PACKAGES, settings=self.settings)
        root = packages.require(settings=self.settings)
        self.down()
        with failing.undone_on_failure(keep_logs=self._keep_logs, down=self.down):
            self._start(root)

    def running(self) -> bool:
        """Whether it and its registry are up."""
        machine = self._machine()
        return machine.alive and all(machine.running(name) for name in ("dockerd", "docker-registry"))

    def down(self) -> None:
        """Leave nothing of it, nor of what runs in it."""
        processes.kill_marked(self.directory)
        cgroups.remove(_CGROUP)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def command(self, *words: str) -> Sequence[str]:
        """The words that start a program beside the engine, in the caller's folder."""
        spaces = ("--mount", "--net", "--pid")
        first = self._machine().first_pid()
        return ("nsenter", f"--target={first}", *spaces, f"--wd={Path.cwd()}", "--", *words)

    def environment(self) -> Mapping[str, str]:
        """The caller's environment, with the engine's programs first on PATH and clusters apart from the host's."""
        root = packages.require(settings=self.settings)
        search = os.pathsep.join([*packages.path(root), os.environ.get("PATH", os.defpath)])
        dropped = ("DOCKER_HOST", "DOCKER_CONTEXT", "KUBECONFIG")
        return {
            **{name: value for name, value in os.environ.items() if name not in dropped},
            "PATH": search,
            "TIDEGATE_CACHE": str(self._cache()),
            "TIDEGATE_STATE": str(self.directory / "state"),
            "TIDEGATE_KIND_IMAGE": node_image.REFERENCE,
            processes.MARK: f"{self.directory}/",
        }

    def run(self, *words: str) -> int:
        """Run a program beside the engine, in the terminal that this one has; its exit code."""
        return subprocess.run(self.command(*words), env=dict(self.environment()), check=False).returncode

    def _start(self, root: Path) -> None:
        machine = self._machine()
        config = self.directory / "config"
        config.mkdir(parents=True)
        (config / "resolv.conf").write_text("nameserver 10.0.2.3\n")  # slirp4netns: it asks whom the host asks
        places = {"resolver": config / "resolv.conf", "root": root, "runc": Path(runc.__file__).resolve()}
        machine.boot_with(_BOOT.format(**{name: shlex.quote(str(path)) for name, path in places.items()}))
        self._connect(machine)
        config = config / "registry.yml"
        config.write_text(_REGISTRY.format(directory=self.directory / "lib/registry", port=_REGISTRY_PORT))
        machine.start("docker-registry", "serve", str(config))
        machine.start(
            "dockerd",
            f"--data-root={self.directory / 'lib/docker'}",
            "--exec-root=/run/docker",
            "--pidfile=/run/docker.pid",
            "--host=unix:///run/docker.sock",
            "--storage-driver=overlay2",
            f"--bip={_BRIDGE}",
            f"--default-address-pool={_POOL}",
            f"--cgroup-parent=/{_CGROUP}",
            f"--registry-mirror=http://localhost:{_REGISTRY_PORT}",
        )
        self._wait(machine, "dockerd", lambda: self._succeeds("docker", "info"))
        registry = f"http://localhost:{_REGISTRY_PORT}/v2/"
        self._wait(machine, "docker-registry", lambda: self._succeeds("curl", "--fail", "--silent", registry))
        self._bring_images()

    def _bring_images(self) -> None:
        """What is pulled from Docker Hub elsewhere, made of Debian packages: into the registry, which the engine and kind's
        nodes ask first. And the node image, which kind wants in the engine itself."""
        for base in bases.ALL.values():
            path = base.reference.partition("/")[2]
            pushed = f"localhost:{_REGISTRY_PORT}/{path}"
            self._docker("load", f"--input={self._public(base)}")
            self._docker("tag", base.reference, pushed)
            self._docker("push", pushed)
            self._docker("rmi", base.reference, pushed)
        self._docker("load", f"--input={node_image.build(settings=self.settings)}")

    def _public(self, base: Base) -> Path:
        """The archive of a public image; with the authorities that this host trusts, where an index may be behind a proxy."""
        if base != bases.PYTHON or not _AUTHORITIES.exists():
            return bases.build(base, settings=self.settings)
        target = self.directory / "images" / "python.tar"
        layers: list[bytes | Path] = [debian.build(base.root, settings=self.settings)]
        layers.append(archive.layer_of({str(_AUTHORITIES): _AUTHORITIES}))
        archive.write(target, reference=base.reference, layers=layers, config=base.config)
        return target

    def _cache(self) -> Path:
        """A cache for what runs beside the engine: an image built here starts from a stand-in for the one that it names, and
        must not be taken for one that was built by another engine."""
        cache = self.settings.cache / "beside-docker"
        cache.mkdir(parents=True, exist_ok=True)
        for part in _SHARED:
            (self.settings.cache / part).mkdir(exist_ok=True)
            if not (cache / part).is_symlink():
                (cache / part).symlink_to(self.settings.cache / part)
        return cache

    def _docker(self, *words: str) -> None:
        commands.run(*self.command("docker", *words), env=self.environment(), timeout=1800)

    def _connect(self, machine: Machine) -> None:
        """A way to the outside by a process on the host, which ends with the rest."""
        log = self.directory / "logs/slirp4netns.log"
        options = ("--configure", "--mtu=65520", "--disable-host-loopback")
        pid = os.posix_spawnp(
            "slirp4netns",
            ("slirp4netns", *options, str(machine.first_pid()), "tap0"),
            {**os.environ, processes.MARK: f"{self.directory}/"},
            setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
        )
        if process := Process.of(pid):
            process.write(self.directory / "processes/slirp4netns")
        self._wait(machine, "slirp4netns", lambda: "default" in machine.run("ip", "route"))

    def _wait(self, machine: Machine, program: str, until: Callable[[], bool]) -> None:
        def met() -> bool:
            if not machine.running(program):
                raise ClusterError(f"{program} ended: {machine.last_words(program)}")
            return until()

        waiting.until(met, what=f"{program} of the Docker engine", seconds=_READY_SECONDS, every=0.2)

    def _succeeds(self, *words: str) -> bool:
        done = subprocess.run(self.command(*words), env=dict(self.environment()), capture_output=True, check=False)
        return done.returncode == 0

    def _keep_logs(self) -> Path:
        kept = self.settings.cache / "logs/docker"
        shutil.rmtree(kept, ignore_errors=True)
        if (self.directory / "logs").is_dir():
            shutil.copytree(self.directory / "logs", kept)
        return kept

    def _machine(self) -> Machine:
        return Machine(name="docker", directory=self.directory)
