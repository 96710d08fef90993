"""A node image for kind where none can be pulled: Debian's systemd, kind's own files, and the programs that we build.

As in kind's images, with these differences. The control plane's images are made of the one program that all of it is, and
imported when the node starts. Pods get their network from a bridge of the node's by a file that containerd writes, so a
cluster has one node. Images that the node hasn't are pulled through the registry beside the engine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tidegate_cluster import archive, commands, programs, tools
from tidegate_cluster.archive import Image
from tidegate_cluster.errors import ClusterError
from tidegate_cluster.settings import Settings
from tidegate_images import debian, keeping
from tidegate_images.debian import RootFilesystem

from . import node_files
from .layers import Layer

REFERENCE: Final = "docker.io/tidegate/node:latest"
_KIND: Final = "sigs.k8s.io/kind"
_PROVISIONER: Final = "github.com/rancher/local-path-provisioner"
_SUITE: Final = "bookworm"  # the last with a systemd that takes hosts with version 1 of cgroups
_LEAN: Final = "--customize-hook=rm -rf $1/usr/share/doc $1/boot"
_ROOT: Final = RootFilesystem(
    name="kindnode",
    suite=_SUITE,
    variant="essential",
    packages=(
        "bash",
        "ca-certificates",
        "conntrack",
        "containernetworking-plugins",
        "curl",
        "ethtool",
        "iproute2",
        "iptables",
        "jq",
        "kmod",
        "mount",
        "nftables",
        "procps",
        "runc",
        "systemd",
    ),
    hooks=(
        # What a container has no use for, as kind's base image leaves it out.
        "--customize-hook=cd $1/lib/systemd/system && rm -f multi-user.target.wants/* local-fs.target.wants/*",
        "--customize-hook=cd $1/lib/systemd/system && rm -f basic.target.wants/* sockets.target.wants/*udev*",
        "--customize-hook=cd $1/lib/systemd/system && rm -f sockets.target.wants/*initctl*",
        "--customize-hook=rm -f $1/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
        "--customize-hook=rm -f $1/etc/systemd/system/*.wants/*",
        "--customize-hook=echo ReadKMsg=no >>$1/etc/systemd/journald.conf",
        "--customize-hook=ln -sf /usr/lib/systemd/systemd $1/sbin/init",
        _LEAN,
    ),
)
_PROXY_ROOT: Final = RootFilesystem(
    name="kubeproxy",
    suite=_SUITE,
    variant="essential",
    packages=("conntrack", "iptables", "kmod", "nftables"),
    hooks=(_LEAN,),
)
_KUBERNETES: Final = ("kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler")
_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def build(*, settings: Settings) -> Path:
    """The image's archive, made unless the cache has it."""
    built = programs.require(settings=settings)
    roots = {root.name: debian.build(root, settings=settings) for root in (_ROOT, _PROXY_ROOT)}
    names = ("coredns", "crictl", "kubeadm", "local-path-provisioner")
    binaries = {name: tools.require(name, settings=settings) for name in names}
    kind = tools.module_directory(_KIND, settings=settings) / "images/base/files"
    target = settings.cache / "images" / f"node-{_key([built, *roots.values(), *binaries.values()])}.tar"
    if not target.exists():
        started = time.monotonic()
        print("making a node image for kind", file=sys.stderr, flush=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="node-") as scratch:
            images = Path(scratch) / "images.tar"
            archive.write_all(images, _images(Path(scratch), built=built, binaries=binaries, proxy=roots["kubeproxy"]))
            own = Path(scratch) / "own.tar"
            _layer(own, built=built, binaries=binaries, kind=kind, images=images)
            config = {
                "Env": [_PATH, "container=docker"],
                "Entrypoint": ["/usr/local/bin/entrypoint", "/sbin/init"],
                "StopSignal": "SIGRTMIN+3",
            }
            archive.write(target, reference=REFERENCE, layers=[roots["kindnode"], own], config=config)
        keeping.prune(target)
        print(f"  made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return target


def kubernetes_version() -> str:
    """The version of the cluster that the image makes."""
    return "v" + ".".join(programs.kubernetes_version((tools.SOURCES / "go.mod").read_text()))


def _key(parts: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for name in ("layers.py", "node_files.py", "node_image.py"):
        digest.update(Path(__file__).with_name(name).read_bytes())
    # Folders of the cache have a hash of their sources in their names.
    digest.update("\0".join(str(part) for part in parts).encode())
    return digest.hexdigest()[:16]


def _images(scratch: Path, *, built: Path, binaries: Mapping[str, Path], proxy: Path) -> Sequence[Image]:
    """The images that kubeadm's manifests and ours name."""
    said = commands.run(binaries["kubeadm"], "config", "images", "list", f"--kubernetes-version={kubernetes_version()}")
    named = {reference.rpartition("/")[2].partition(":")[0]: reference for reference in said.split()}
    shared = scratch / "kubernetes.tar"
    with Layer(shared) as layer:
        layer.file("usr/local/bin/kubernetes", built / "kubernetes", mode=0o755)
        for role in (*_KUBERNETES, "etcd"):
            layer.link(f"usr/local/bin/{role}", to="kubernetes")
    images = []
    for name, reference in named.items():
        layers: list[bytes | Path] = [shared]
        config: dict[str, Any] = {"Env": [_PATH]}
        if name == "kube-proxy":
            layers.insert(0, proxy)
        elif name == "coredns":
            layers = [archive.layer_of({"/coredns": binaries["coredns"]})]
            config |= {"Entrypoint": ["/coredns"], "WorkingDir": "/"}
        elif name == "pause":
            layers = [archive.layer_of({"/catatonit": _catatonit()})]
            config |= {"Entrypoint": ["/catatonit", "-P"], "User": "65535:65535"}
        elif name not in (*_KUBERNETES, "etcd"):
            raise ClusterError(f"kubeadm wants an image {reference} that cluster/tidegate_docker doesn't make")
        images.append(Image(reference=reference, layers=layers, config=config))
    provisioner = archive.layer_of({"/usr/local/bin/local-path-provisioner": binaries["local-path-provisioner"]})
    reference = f"{node_files.PROVISIONER_IMAGE}:{tools.version(_PROVISIONER)}"
    images.append(Image(reference=reference, layers=[provisioner], config={"Env": [_PATH]}))
    return images


def _layer(target: Path, *, built: Path, binaries: Mapping[str, Path], kind: Path, images: Path) -> None:
    """All that is in the image beside Debian's packages."""
    specification = json.loads(commands.run(built / "ctr", "oci", "spec"))
    own = node_files.files(
        kubernetes=kubernetes_version(), provisioner=tools.version(_PROVISIONER), specification=specification
    )
    with Layer(target) as layer:
        for file in sorted(path for path in kind.rglob("*") if path.is_file()):
            path = str(file.relative_to(kind))
            if path not in own and "fuse-overlayfs" not in path and not path.startswith("LICENSES/"):
                layer.file(path, file, mode=0o755 if path.startswith(("usr/local/bin/", "kind/bin/")) else 0o644)
        for path, content in own.items():
            layer.text(path, content)
        for unit in ("containerd", "kubelet", "tidegate-images", "undo-mount-hacks"):
            wanted = f"etc/systemd/system/multi-user.target.wants/{unit}.service"
            layer.link(wanted, to=f"/etc/systemd/system/{unit}.service")
        layer.link("etc/systemd/system/systemd-binfmt.service", to="/dev/null")
        layer.directory("etc/kubernetes/manifests")
        layer.directory("etc/cni/net.d")
        layer.file("usr/bin/kubernetes", built / "kubernetes", mode=0o755)
        for role in ("kubectl", "kubelet"):
            layer.link(f"usr/bin/{role}", to="kubernetes")
        layer.file("usr/bin/kubeadm", binaries["kubeadm"], mode=0o755)
        layer.file("usr/local/bin/crictl", binaries["crictl"], mode=0o755)
        for name in ("containerd", "containerd-shim-runc-v2", "ctr"):
            layer.file(f"usr/local/bin/{name}", built / name, mode=0o755)
        layer.file("kind/images.tar", images, mode=0o644)


def _catatonit() -> Path:
    found = shutil.which("catatonit")
    if not found:
        raise ClusterError("catatonit is not installed")
    return Path(found)
