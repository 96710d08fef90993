"""Mail over SMTP: invitations, and links to set a password. An installation can do without; then admins pass links on."""

import smtplib
import threading
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import structlog

from tidegate_web.settings import WebSettings
from tidegate_web.shared.trust import tls_context

log = structlog.stdlib.get_logger(__name__)

SECONDS = 10.0
"""How long each step with the server may take."""


class MailError(Exception):
    """The server didn't take the mail."""


class Mailer:
    """Sends plain text from the address that the settings name."""

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings

    @property
    def configured(self) -> bool:
        """Whether there is a server, a sender, and an address that links can be trusted to lead to."""
        return bool(self._settings.smtp_host and self._settings.smtp_from and self._settings.public_url)

    def send(self, *, to: str, subject: str, text: str) -> None:
        """Hand a mail to the server, or raise MailError."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = self._settings.smtp_from, to, subject
        message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="tidegate")
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            with self._connect() as server:
                if self._settings.smtp_user:
                    password = self._settings.smtp_password
                    server.login(self._settings.smtp_user, password.get_secret_value() if password else "")
                server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            log.warning("a mail can't be sent", server=self._settings.smtp_host, error=str(error))
            raise MailError("The mail server didn't take the mail.") from error

    def later(self, send: Callable[[], None]) -> None:
        """Have something looked up and sent so that no client waits for it, or learns from the time it takes what was found."""

        def run() -> None:
            try:
                send()
            except MailError:
                return  # it is in the log
            except Exception:
                log.exception("a mail can't be made")

        threading.Thread(target=run, name="mail", daemon=True).start()

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        context = tls_context(settings.ca_file)
        if settings.smtp_security == "tls":
            return smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=SECONDS, context=context)
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=SECONDS)
        try:
            if settings.smtp_security == "starttls":
                server.starttls(context=context)
        except (smtplib.SMTPException, OSError):
            server.close()
            raise
        return server
