"""Passwords: argon2id, the same time spent whether or not a user has that address, and a bound on how many are hashed at
once: each takes 64 MiB, and a flood of sign-ins must not take the process's memory.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from tidegate_web.shared.problems import Problem

LEAST_SIGNS = 12
"""Of a password; what people choose is long or guessed."""
AT_ONCE = 2
WAIT_SECONDS = 2.0
"""So long a request waits for its turn."""
WAITING = 2
"""Requests that wait, for each that hashes: beyond them the answer is given at once, so that threads are left for others."""


class Passwords:
    """Hashes and checks passwords; 503 when too many are at it. The hasher's own parameters are today's recommendation."""

    def __init__(
        self, *, at_once: int = AT_ONCE, wait_seconds: float = WAIT_SECONDS, hasher: PasswordHasher | None = None
    ) -> None:
        self._hasher = hasher or PasswordHasher()
        self._nobody = self._hasher.hash(secrets.token_hex(16))
        self._hashing = threading.BoundedSemaphore(at_once)
        self._admitted = threading.BoundedSemaphore(at_once * (1 + WAITING))
        self._wait_seconds = wait_seconds

    def hash(self, password: str) -> str:
        with self._turn():
            return self._hasher.hash(password)

    def check(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is right; costs the same where there is no such user."""
        with self._turn():
            try:
                right = self._hasher.verify(password_hash or self._nobody, password)
            except (VerificationError, InvalidHashError):
                return False
        return right and password_hash is not None

    def outdated(self, password_hash: str) -> bool:
        """Whether it was hashed with weaker parameters than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._admitted.acquire(blocking=False):
            raise _busy()
        try:
            if not self._hashing.acquire(timeout=self._wait_seconds):
                raise _busy()
            try:
                yield
            finally:
                self._hashing.release()
        finally:
            self._admitted.release()


def _busy() -> Problem:
    return Problem(503, "Too many people are signing in. Try again in a moment.", headers={"Retry-After": "3"})
