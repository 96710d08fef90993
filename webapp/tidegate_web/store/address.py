"""The address of Postgres, as the driver wants it. Pure, but for where the system has its certificates."""

import ssl
from pathlib import Path

from sqlalchemy.engine import URL, make_url

VERIFYING = ("verify-ca", "verify-full")
SYSTEM = "system"
"""The system's authorities, in the words of libpq."""


def driver_url(url: str, *, password: str | None, ca_file: Path | None) -> str:
    """With our driver, the password, and the authorities that a verified connection trusts."""
    made = make_url(url).set(drivername="postgresql+psycopg")
    if password is not None:
        made = made.set(password=password)
    return _trusting(made, ca_file).render_as_string(hide_password=False)


def _trusting(url: URL, ca_file: Path | None) -> URL:
    """libpq takes one file of authorities, and the libpq of our driver doesn't know where the system has its own."""
    root = url.query.get("sslrootcert")
    if root is None and url.query.get("sslmode") not in VERIFYING:
        return url
    if root is None and ca_file is not None:
        return url.update_query_dict({"sslrootcert": str(ca_file)})
    system = ssl.get_default_verify_paths().cafile
    if root in (None, SYSTEM) and system is not None:
        return url.update_query_dict({"sslrootcert": system})
    return url
