"""The memory of callers seen lately: changes are published at once, the rest now and then."""

from dataclasses import replace

from support.web import Stack
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.memory import REFRESH_SECONDS, CallerMemory
from tidegate_web.shared.permissions import Role

TOKEN = b"\x01" * 32
ADA = Caller(name="ada@example.com", roles={"p": Role.OPERATOR})


class Remembering:
    """A memory, and the hand on its clock."""

    def __init__(self, stack: Stack) -> None:
        self.redis = stack.services("web").redis
        self.time = 0.0
        self.memory = CallerMemory(redis=self.redis, seconds=900, now=lambda: self.time)

    def see(self, caller: Caller | None) -> None:
        self.memory.ask(TOKEN, lambda: caller)


def test_what_has_not_changed_is_published_again_after_a_while(stack: Stack) -> None:
    one = Remembering(stack)
    one.see(ADA)
    one.redis.flushdb()
    one.see(ADA)
    assert one.memory.recall(TOKEN) is None
    one.time += REFRESH_SECONDS
    one.see(ADA)
    assert one.memory.recall(TOKEN) == ADA


def test_another_role_is_published_at_once(stack: Stack) -> None:
    one = Remembering(stack)
    one.see(ADA)
    demoted = replace(ADA, roles={"p": Role.VIEWER})
    one.see(demoted)
    assert one.memory.recall(TOKEN) == demoted


def test_a_caller_who_is_forgotten_and_comes_back_is_published_again(stack: Stack) -> None:
    one = Remembering(stack)
    one.see(ADA)
    one.see(None)
    assert one.memory.recall(TOKEN) is None
    one.see(ADA)
    assert one.memory.recall(TOKEN) == ADA


def test_what_redis_did_not_get_is_published_again(stack: Stack) -> None:
    one = Remembering(stack)
    stack.redis.stop()
    one.see(ADA)
    stack.redis.start()
    one.see(ADA)
    assert one.memory.recall(TOKEN) == ADA
