"""Signals that say to end, while something waits."""

import os
import signal
from collections.abc import Iterator

import pytest
from tidegate_cli.signals import Terminated, unwinding


@pytest.fixture(autouse=True)
def as_they_were() -> Iterator[None]:
    """What pytest has set is set again."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds_what_is_going_on_and_a_second_does_not_disturb_it(number: signal.Signals) -> None:
    tidied = []

    def wait() -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(number)

    with pytest.raises(Terminated) as raised, unwinding():
        wait()
    assert (tidied, raised.value.name, raised.value.code) == ([number], number.name, 128 + number)


def test_afterwards_a_signal_ends_the_process_as_ever() -> None:
    with unwinding():
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_under_nohup_a_hangup_is_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with unwinding():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
