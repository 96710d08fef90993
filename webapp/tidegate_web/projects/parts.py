"""What a process knows projects by: created once a process."""

from dataclasses import dataclass

from sqlalchemy import Engine

from tidegate_web.cluster.client import Cluster
from tidegate_web.projects.directory import Projects
from tidegate_web.projects.host_access import HostAccess
from tidegate_web.projects.namespace_check import NamespaceCheck
from tidegate_web.settings import WebSettings


@dataclass(frozen=True, kw_only=True)
class ProjectParts:
    """Which projects there are, whose data each has, and what its pods may do."""

    directory: Projects
    namespace_check: NamespaceCheck
    host_access: HostAccess


def make_projects(settings: WebSettings, *, engine: Engine, cluster: Cluster) -> ProjectParts:
    """Nothing is connected to before it is used."""
    directory = Projects(
        cluster=cluster,
        namespaces=settings.namespaces,
        own_namespace=settings.release_namespace,
        pod_security=settings.project_pod_security,
    )
    return ProjectParts(
        directory=directory,
        namespace_check=NamespaceCheck(projects=directory, engine=engine),
        host_access=HostAccess(cluster=cluster, required=settings.require_baseline),
    )
