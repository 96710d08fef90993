"""A real SMTP server that keeps what it is sent."""

import ssl
from email import message_from_bytes
from email.message import Message
from email.policy import default
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller

from support.servers import free_port, wait_until


class _Keeper:
    def __init__(self) -> None:
        self.kept: list[Message] = []
        self.refuses = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        del server, session
        if self.refuses:
            return "451 try again later"
        self.kept.append(message_from_bytes(envelope.content, policy=default))
        return "250 OK"


class Mailbox:
    """Everybody's mail."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, starttls: ssl.SSLContext | None = None) -> None:
        self._keeper = _Keeper()
        self.port = free_port()
        self._security = "tls" if tls else "starttls" if starttls else "none"
        options: dict[str, Any] = {"tls_context": starttls, "require_starttls": True} if starttls else {}
        self._server = Controller(self._keeper, hostname="127.0.0.1", port=self.port, ssl_context=tls, **options)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def mails(self) -> list[Message]:
        return self._keeper.kept

    def refuse(self) -> None:
        """Take no mail any more."""
        self._keeper.refuses = True

    def next(self) -> Message:
        """The one mail that has come, or comes soon."""
        wait_until(lambda: bool(self.mails), what="a mail")
        return self.mails.pop(0)

    def settings(self) -> dict[str, Any]:
        return {
            "smtp_host": "127.0.0.1",
            "smtp_port": self.port,
            "smtp_security": self._security,
            "smtp_from": "tidegate@example.com",
            "public_url": "http://tidegate.example.com",
        }
