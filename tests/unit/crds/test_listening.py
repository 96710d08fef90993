"""Which sockets a process listens on."""

import errno
import socket

import pytest
from tidegate_api import listening
from tidegate_api.listening import bound_sockets


def closed(sockets: list[socket.socket]) -> list[tuple[str, int]]:
    """The addresses of sockets, which are closed."""
    try:
        return [each.getsockname()[:2] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def test_without_a_host_both_families_have_one_port() -> None:
    (four, port), (six, same) = closed(bound_sockets("", 0))
    assert (four, six) == ("0.0.0.0", "::")
    assert port == same


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_host_is_listened_on_alone(host: str) -> None:
    ((address, _),) = closed(bound_sockets(host, 0))
    assert address == host


def test_a_client_with_ipv4_is_seen_by_its_own_address() -> None:
    sockets = bound_sockets("", 0)
    port = sockets[0].getsockname()[1]
    try:
        for each, host in zip(sockets, ("127.0.0.1", "::1"), strict=True):
            each.listen()
            with socket.create_connection((host, port), timeout=5):
                accepted, address = each.accept()
                accepted.close()
                assert address[0] == host
    finally:
        closed(sockets)


def test_a_port_that_is_taken_is_an_error_and_nothing_stays_open() -> None:
    taken = bound_sockets("::1", 0)
    taken[0].listen()
    port = taken[0].getsockname()[1]
    try:
        with pytest.raises(OSError, match="in use"):
            bound_sockets("", port)
        ((_, again),) = closed(bound_sockets("127.0.0.1", port))
        assert again == port
    finally:
        closed(taken)


@pytest.mark.parametrize(("missing", "left"), [(socket.AF_INET6, "0.0.0.0"), (socket.AF_INET, "::")])
def test_a_host_without_a_family_has_the_other(
    monkeypatch: pytest.MonkeyPatch, missing: socket.AddressFamily, left: str
) -> None:
    bound = listening._bound

    def refuse(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
        if family == missing:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return bound(family, address, port)

    monkeypatch.setattr(listening, "_bound", refuse)
    ((address, _),) = closed(bound_sockets("", 0))
    assert address == left
