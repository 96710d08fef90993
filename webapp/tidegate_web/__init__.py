"""The web app of Tidegate: REST API, dashboard, sign-in, live updates, and the mirror that keeps every run."""

from importlib.metadata import version

__version__ = version("tidegate-platform")
