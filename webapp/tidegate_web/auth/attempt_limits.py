"""How many attempts are free, and how long a client must wait before the next one. Pure.

There is no lock by the address of mail: with one, any client could keep its owner out. After the free attempts each further one
waits twice as long as the one before, up to a bound. A client's network, and all clients together, have a fixed number in a
window of time.
"""

from dataclasses import dataclass

MOST_DOUBLINGS = 20


@dataclass(frozen=True, kw_only=True)
class AttemptLimit:
    """One count of attempts, such as those of a network."""

    key: str
    free: int
    window: int
    """Seconds after which the count begins again: after the last attempt where the wait grows, else after the first."""
    longest_wait: int = 0
    """The wait grows up to so many seconds. 0: it lasts until the window ends."""
    forgiven: bool = False
    """Whether a right password begins the count again; else it takes back its own attempt alone."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """The attempts that were counted, and when: the first and the last."""

    attempts: int
    began: float
    last: float


def wait_seconds(limit: AttemptLimit, count: Count | None, *, now: float) -> float:
    """How long the next attempt must wait; 0 or less when it may be made."""
    if count is None or count.attempts < limit.free or has_ended(limit, count, now=now):
        return 0
    if limit.longest_wait == 0:
        return count.began + limit.window - now
    doublings = min(count.attempts - limit.free, MOST_DOUBLINGS)
    return count.last + min(2.0**doublings, limit.longest_wait) - now


def has_ended(limit: AttemptLimit, count: Count, *, now: float) -> bool:
    """Whether the count's window is over."""
    return now >= (count.last if limit.longest_wait else count.began) + limit.window


@dataclass(frozen=True, kw_only=True)
class SignInLimits:
    """The limits that an attempt to sign in, or to have a link mailed, is counted by."""

    attempts: int
    network_attempts: int
    attempts_a_minute: int
    forgot_mails: int
    window: int
    longest_mail_wait: int = 30

    def sign_in(self, *, mail: str, network: str, device: str | None) -> tuple[AttemptLimit, ...]:
        """Of a try with an address of mail (its digest). A device from which the account was signed in before is counted by
        itself alone, so that failures elsewhere don't hold it up."""
        if device is not None:
            return (self.known(device),)
        return (
            AttemptLimit(
                key=f"pair:{mail}:{network}",
                free=self.attempts,
                window=self.window,
                longest_wait=self.window,
                forgiven=True,
            ),
            AttemptLimit(
                key=f"mail:{mail}",
                free=self.attempts * 5,
                window=self.window,
                longest_wait=min(self.longest_mail_wait, self.window),
            ),
            *self._of_all("login", network),
        )

    def known(self, device: str) -> AttemptLimit:
        """Of a known device, or of a session whose password is to be changed."""
        return AttemptLimit(
            key=f"known:{device}", free=self.attempts, window=self.window, longest_wait=self.window, forgiven=True
        )

    def forgot(self, *, network: str) -> tuple[AttemptLimit, ...]:
        """Of a client that asks for a link."""
        return self._of_all("forgot", network)

    def forgot_mail(self, *, mail: str) -> tuple[AttemptLimit, ...]:
        """Of the mailbox that it goes to."""
        return (AttemptLimit(key=f"forgot-mail:{mail}", free=self.forgot_mails, window=self.window),)

    def _of_all(self, what: str, network: str) -> tuple[AttemptLimit, ...]:
        return (
            AttemptLimit(key=f"{what}-network:{network}", free=self.network_attempts, window=self.window),
            AttemptLimit(key=f"{what}-all", free=self.attempts_a_minute, window=60),
        )
