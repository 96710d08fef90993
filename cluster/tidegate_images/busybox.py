"""The few files of a busybox image, taken from Debian's dynamic busybox.

Not from busybox-static: resolving a host name ends a static program of the GNU C library by a segmentation fault.
"""

from __future__ import annotations

import io
import tarfile
import tempfile
from pathlib import Path

from tidegate_cluster import commands
from tidegate_cluster.errors import ClusterError

_LIBRARIES = ("ld-linux", "libc.so", "libm.so", "libnss_dns", "libnss_files", "libresolv")
_USERS = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def layer(root: Path) -> bytes:
    """The image's only layer, from the tar of the unpacked packages."""
    with tempfile.TemporaryDirectory(prefix="tidegate-busybox-") as scratch, tarfile.open(root) as packages:
        wanted = [member for member in packages.getmembers() if _wanted(member.name)]
        packages.extractall(scratch, wanted, filter="tar")
        return _pack(Path(scratch))


def _wanted(name: str) -> bool:
    path = Path(name)
    if path.parent.name == "lib64" or name.startswith("./usr/lib/"):
        return path.name.startswith(_LIBRARIES) and "doc" not in path.parts
    return str(path) == "usr/bin/busybox"


def _pack(scratch: Path) -> bytes:
    # The loader is named by its own path: this host's may be another one.
    loader = next(iter(scratch.glob("usr/lib/*/ld-linux*")), None)
    if loader is None:
        raise ClusterError("Debian's libc6 has no program loader where it was: tell the maintainers of Tidegate")
    program = scratch / "usr/bin/busybox"
    applets = commands.run(loader, "--library-path", loader.parent, program, "--list").split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for directory in ("root", "tmp", "proc", "sys", "dev", "etc"):
            header = tarfile.TarInfo(directory)
            header.type, header.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(header)
        for name, content in _USERS.items():
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(content), 0o644
            tar.addfile(header, io.BytesIO(content.encode()))
        for name in ("bin", "sbin", "lib", "lib64"):
            tar.addfile(_link(name, to=f"usr/{name}"))
        tar.addfile(_link("usr/sbin", to="bin"))
        for file in sorted(scratch.rglob("*")):
            if not file.is_dir():
                tar.add(file, str(file.relative_to(scratch)), filter=_plain)
        for applet in applets:
            if applet != "busybox":
                tar.addfile(_link(f"usr/bin/{applet}", to="busybox"))
    return buffer.getvalue()


def _link(name: str, *, to: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.type, header.linkname = tarfile.SYMTYPE, to
    return header


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member
