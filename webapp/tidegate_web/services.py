"""What a process works with, created once by ``app.make_services`` and handed to those that need it: there is no module-level state.

Its connections are here; what one package needs of its own is a part that this package makes.
"""

from dataclasses import dataclass

from flask import Flask
from redis import Redis
from sqlalchemy import Engine

from tidegate_web.audit.recording import AuditSpool
from tidegate_web.auth.parts import AuthParts
from tidegate_web.cluster.client import Cluster
from tidegate_web.events.channels import EventLog
from tidegate_web.events.hub import Hub
from tidegate_web.projects.parts import ProjectParts
from tidegate_web.runs.parts import RunParts
from tidegate_web.settings import WebSettings
from tidegate_web.shared.clock import Clock

KEY = "tidegate"


@dataclass(frozen=True, kw_only=True)
class Services:
    """One process's connections and parts."""

    settings: WebSettings
    clock: Clock
    engine: Engine
    direct: Engine
    """To Postgres itself, for locks and migrations; the same where no pooler stands before it."""
    redis: Redis
    cluster: Cluster
    events: EventLog
    hub: Hub
    audit: AuditSpool
    auth: AuthParts
    projects: ProjectParts
    runs: RunParts

    def attach(self, app: Flask) -> None:
        app.extensions[KEY] = self
