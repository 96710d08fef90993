"""What the host must bring along: tools from Debian packages, and either a Docker engine or root on Linux."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from . import commands, locks
from .errors import ClusterError
from .records import Provider
from .settings import Settings

# What shows that a package is there: a command, or a path for those without one.
_SIGNS: Mapping[str, str] = {
    "buildah": "buildah",
    "busybox-static": "/bin/busybox",
    "catatonit": "catatonit",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debian-archive-keyring": "/usr/share/keyrings/debian-archive-keyring.gpg",
    "iproute2": "ip",
    "ipset": "ipset",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "nftables": "nft",
    "openssl": "openssl",
    "runc": "runc",
    "slirp4netns": "slirp4netns",
}
FIREWALL_PACKAGES = ("ipset", "iptables")
"""What enforces NetworkPolicies on a node works through these."""
NODE_PACKAGES = ("catatonit", "containernetworking-plugins", "iproute2", "nftables", "openssl", "runc")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"


def ensure(packages: Collection[str], *, settings: Settings) -> None:
    """Install the Debian packages that are missing, or say which are."""
    missing = missing_packages(packages)
    if not missing:
        return
    listed = " ".join(missing)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise ClusterError(f"install what these Debian packages bring, and try again: {listed}")
    print(f"installing Debian packages: {listed}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "--yes", "--no-install-recommends", *missing)
    with locks.locked(settings.locks / "packages.lock", waiting_for="another installation of packages"):
        try:
            commands.run(*install, env=environment, timeout=1800)
        except ClusterError:
            # The lists of a fresh machine are empty or old.
            commands.run("apt-get", "update", env=environment, timeout=600)
            try:
                commands.run(*install, env=environment, timeout=1800)
            except ClusterError as error:
                raise ClusterError(f"apt-get could not install {listed}: {error}") from error


def missing_packages(packages: Collection[str]) -> list[str]:
    """Those of the packages that the host lacks."""
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    missing = []
    for package in sorted(packages):
        sign = _SIGNS[package]
        if not (Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=path)):
            missing.append(package)
    return missing


def docker_answers() -> bool:
    """Whether there is a Docker engine, not only its command."""
    return shutil.which("docker") is not None and commands.succeeds("docker", "info", timeout=20)


def docker_has_cgroups_v1() -> bool:
    """Whether the Docker engine's host has version 1 of cgroups; it may be another host than this one."""
    return commands.run("docker", "info", "--format={{.CgroupVersion}}", timeout=20).strip() == "1"


def choose_provider(wanted: str) -> Provider:
    """kind where Docker is, else our own on Linux as root."""
    if wanted in ("auto", "kind") and docker_answers():
        return "kind"
    if wanted == "kind":
        raise ClusterError("no Docker engine answers: start Docker, or use --provider native as root on Linux")
    if platform.system() == "Linux" and os.geteuid() == 0:
        return "native"
    if wanted == "native":
        raise ClusterError("a cluster without Docker needs root on Linux: run this again as root")
    raise ClusterError("there is neither a Docker engine nor root on Linux: start Docker, or run this again as root")
