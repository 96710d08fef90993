"""Looks for known vulnerabilities of what Tidegate depends on: `make audit`. It needs the internet, so no test runs it."""
