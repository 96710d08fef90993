"""Webhooks: a signed POST to whoever asked for it when a run has ended, sent again until it is taken."""
