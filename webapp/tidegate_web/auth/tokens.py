"""Secrets that we hand out: random, shown once, kept as a hash. They have 128 bits and more, so that a plain SHA-256
is enough to keep them by; slow hashing is for passwords, which people choose.
"""

import hashlib
import secrets
import string

_BASE62 = string.ascii_letters + string.digits

KEY_PREFIX = "tg_"
KEY_SIGNS = 32
SHOWN_SIGNS = 8
"""Of a key's random part: enough to find it by, of no use to guess the rest."""


def new_token() -> str:
    """For sessions and links."""
    return secrets.token_urlsafe(32)


def new_api_key() -> str:
    """``tg_`` and 32 base62 signs (190 bits)."""
    return KEY_PREFIX + "".join(secrets.choice(_BASE62) for _ in range(KEY_SIGNS))


def shown_prefix(key: str) -> str:
    """The beginning by which people distinguish keys."""
    return key[: len(KEY_PREFIX) + SHOWN_SIGNS]


def token_hash(token: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(token.encode()).digest()
