"""Measures what the operator costs and how fast it is, beside plain Jobs on the same control plane. Not a test."""
