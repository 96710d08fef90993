"""Connections of pool workers to the leader: who is there, and what travels."""
