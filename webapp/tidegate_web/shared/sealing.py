"""Secrets at rest that we must read again, of webhooks and of sign-in providers: encrypted with a key made of the installation's, so that a copy of the database signs nothing."""

import base64
import hashlib

from cryptography.fernet import Fernet, InvalidToken


class Sealer:
    """Encrypts and decrypts secrets that we must be able to read again."""

    def __init__(self, secret_key: str) -> None:
        digest = hashlib.sha256(b"tidegate webhooks\x00" + secret_key.encode()).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(digest))

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str | None:
        """The secret; None when it was sealed with another key."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            return None
