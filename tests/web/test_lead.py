"""mirror/lead: one mirror leads, by a lock that is not shared."""

import threading

from support.web import Stack
from tidegate_web.mirror.leader_lock import Leadership


def test_one_leads_and_the_next_one_once_it_lets_go(stack: Stack) -> None:
    first, second = (Leadership(stack.services(actor).engine) for actor in ("mirror", "web"))
    stop = threading.Event()
    assert first.acquire(stop, seconds=0.01, tries=1)
    assert not second.acquire(stop, seconds=0.01, tries=2)
    assert first.held()
    assert not second.held()
    first.release()
    assert second.acquire(stop, seconds=0.05, tries=40)
    assert not first.held()
    second.release()
