"""What all tests without a cluster share."""

from hypothesis import settings

# How long an example takes says something of the machine and what else it does, and nothing of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
