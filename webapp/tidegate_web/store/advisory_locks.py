"""Keys of the advisory locks that processes hold in Postgres."""

LEADER_LOCK = 7_140_881_002
"""The mirror that is at work holds it."""
