"""Webhooks: a signed POST to each subscribed URL when a run has ended, sent again until it is taken."""
