"""Names of what belongs to a WorkerPool."""

import hashlib


def deployment_name(pool: str, pool_uid: str) -> str:
    """The pool's Deployment: ``<pool name cut to 40>-<8 hex of sha256(pool uid)>``."""
    return f"{pool[:40].rstrip('-')}-{hashlib.sha256(pool_uid.encode()).hexdigest()[:8]}"
