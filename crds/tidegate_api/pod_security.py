"""Which fields of a pod reach beyond its container: the rules of Kubernetes' Pod Security Standard `baseline`.

A pod template is free text of a user who may make a run. In a namespace that enforces less than `baseline` such a field is root
on a node, so the operator and the web app refuse it there. The rules are those of the standard in Kubernetes 1.37; tests
compare them with the apiserver and with the standard's own conformance data.

A part of a wrong type is passed over where it can't be read, since the apiserver takes no such pod; a value of a wrong type
in a field that is read counts as a violation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tidegate_api.names import ALLOW_HOST_ACCESS_LABEL, POD_SECURITY_LABEL

SUFFICIENT_LEVELS: Final = frozenset({"baseline", "restricted"})
"""Levels by which the apiserver itself refuses such pods."""

CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_notsent_lowat",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_slow_start_after_idle",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
SELINUX_TYPES: Final = frozenset({"container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
PROFILES: Final = frozenset({"RuntimeDefault", "Localhost"})
"""Types of a seccomp or AppArmor profile."""
APPARMOR_ANNOTATION: Final = "container.apparmor.security.beta.kubernetes.io/"
CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A field that the standard doesn't allow with this value."""

    field: str
    """Its path in the pod template: `spec.containers[0].securityContext.privileged`."""
    rule: str
    """What the standard asks of it."""


def decides_itself(labels: Mapping[str, str]) -> bool:
    """Whether fields beyond `baseline` are the namespace's own affair: the apiserver refuses them there, or a cluster admin
    allows them."""
    return labels.get(POD_SECURITY_LABEL) in SUFFICIENT_LEVELS or labels.get(ALLOW_HOST_ACCESS_LABEL) == "true"


def baseline_violation(template: object) -> Violation | None:
    """The first field of a pod template that is beyond `baseline`."""
    return next(baseline_violations(template), None)


def baseline_violations(template: object) -> Iterator[Violation]:
    """All of them. `template` may be anything."""
    annotations = _map(_map(template, "metadata"), "annotations")
    for name, value in annotations.items():
        if str(name).startswith(APPARMOR_ANNOTATION) and not _is_loaded_profile(value):
            yield Violation(field=f"metadata.annotations[{name}]", rule="must be runtime/default or localhost/…")
    spec = _map(template, "spec")
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if _is_set(spec.get(field)):
            yield Violation(field=f"spec.{field}", rule="must not be true")
    for place, volume in _items(spec, "volumes"):
        if volume.get("hostPath") is not None:
            yield Violation(field=f"spec.{place}.hostPath", rule="must not be set")
    security = _map(spec, "securityContext")
    yield from _of_context(security, "spec.securityContext")
    for place, sysctl in _items(security, "sysctls"):
        if not _is_one_of(sysctl.get("name"), SYSCTLS):
            yield Violation(field=f"spec.securityContext.{place}.name", rule="must be a safe sysctl")
    own_users = spec.get("hostUsers") is False
    for kind in CONTAINERS:
        for place, container in _items(spec, kind):
            yield from _of_container(container, f"spec.{place}", own_users=own_users)


def _of_container(container: Mapping[str, object], path: str, *, own_users: bool) -> Iterator[Violation]:
    for place, port in _items(container, "ports"):
        if _is_set(port.get("hostPort")):
            yield Violation(field=f"{path}.{place}.hostPort", rule="must not be set")
    security, within = _map(container, "securityContext"), f"{path}.securityContext"
    if _is_set(security.get("privileged")):
        yield Violation(field=f"{within}.privileged", rule="must not be true")
    added = _map(security, "capabilities").get("add")
    for number, capability in enumerate(added if isinstance(added, list) else ()):
        if not _is_one_of(capability, CAPABILITIES):
            yield Violation(
                field=f"{within}.capabilities.add[{number}]", rule="must be a capability of the default set"
            )
    # In a user namespace of its own a pod's /proc reveals nothing of the host.
    if not own_users and security.get("procMount") not in (None, "Default"):
        yield Violation(field=f"{within}.procMount", rule="must be Default")
    yield from _of_context(security, within)
    for field in ("livenessProbe", "readinessProbe", "startupProbe"):
        yield from _of_handler(_map(container, field), f"{path}.{field}")
    for field in ("postStart", "preStop"):
        yield from _of_handler(_map(_map(container, "lifecycle"), field), f"{path}.lifecycle.{field}")


def _of_context(security: Mapping[str, object], path: str) -> Iterator[Violation]:
    """What the security contexts of pods and of containers have in common."""
    if _is_set(_map(security, "windowsOptions").get("hostProcess")):
        yield Violation(field=f"{path}.windowsOptions.hostProcess", rule="must not be true")
    for field in ("seccompProfile", "appArmorProfile"):
        if isinstance(profile := security.get(field), Mapping) and not _is_one_of(profile.get("type"), PROFILES):
            yield Violation(field=f"{path}.{field}.type", rule="must be RuntimeDefault or Localhost")
    selinux = _map(security, "seLinuxOptions")
    if selinux.get("type") not in (None, "") and not _is_one_of(selinux["type"], SELINUX_TYPES):
        yield Violation(field=f"{path}.seLinuxOptions.type", rule="must be a type of containers")
    for field in ("user", "role"):
        if selinux.get(field) not in (None, ""):
            yield Violation(field=f"{path}.seLinuxOptions.{field}", rule="must not be set")


def _of_handler(handler: Mapping[str, object], path: str) -> Iterator[Violation]:
    """A probe or a lifecycle hook, by which the kubelet would call another host in the pod's name."""
    for action in ("httpGet", "tcpSocket"):
        if _map(handler, action).get("host") not in (None, ""):
            yield Violation(field=f"{path}.{action}.host", rule="must not be set")


def _map(owner: object, field: str) -> Mapping[str, object]:
    found = owner.get(field) if isinstance(owner, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _items(owner: Mapping[str, object], field: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The objects of a list, each with its place."""
    found = owner.get(field)
    for number, item in enumerate(found if isinstance(found, list) else ()):
        if isinstance(item, Mapping):
            yield f"{field}[{number}]", item


def _is_set(value: object) -> bool:
    """Whether it is anything but absent, false or 0."""
    return value is not None and value is not False and (isinstance(value, bool) or value != 0)


def _is_one_of(value: object, allowed: frozenset[str]) -> bool:
    return isinstance(value, str) and value in allowed


def _is_loaded_profile(value: object) -> bool:
    return isinstance(value, str) and (value in ("", "runtime/default") or value.startswith("localhost/"))
