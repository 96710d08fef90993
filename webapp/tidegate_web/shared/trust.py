"""Whose certificates are trusted where the web app connects to others: the system's authorities, and those of ``TIDEGATE_CA_FILE``."""

import ssl
from pathlib import Path


def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """For a client: certificates are checked, with their names. The file is read each time, so a renewed one counts at once."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context


def check_ca_file(ca_file: Path) -> Path:
    """The file; ValueError where no certificates can be read from it."""
    try:
        tls_context(ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{ca_file}: no certificates in PEM can be read: {error.strerror or error}") from error
    return ca_file
