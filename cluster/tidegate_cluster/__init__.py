"""A real Kubernetes for demos and tests: whole clusters by name, and control planes alone for tests that need no pods.

Standard library only, because it runs before anything is installed.
"""
