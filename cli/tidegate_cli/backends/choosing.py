"""Which way is taken: the one that the command line names, else the environment, else the login, else the kubeconfig."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tidegate_cli import stored_login
from tidegate_cli.backends import api
from tidegate_cli.backends.base import Backend
from tidegate_cli.errors import CommandError
from tidegate_cli.stored_login import Login

API: Final = "api"
KUBERNETES: Final = "kubernetes"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line says of it."""

    via: str | None = None
    namespace: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None


def connect(asked: Asked, environment: Mapping[str, str]) -> Backend:
    """The way that is taken. Nothing is requested yet but, without a project, the key's own."""
    return chosen(asked, environment)()


def chosen(asked: Asked, environment: Mapping[str, str]) -> Callable[[], Backend]:
    """The same for those who can't wait long: what this machine alone can do is done, the rest is in what is returned."""
    if asked.via == KUBERNETES or asked.kubeconfig or asked.context:
        if asked.via == API:
            raise CommandError("--kubeconfig and --context are not of the HTTP API: leave --via out")
        return _kubernetes(asked, environment)
    login = login_of(environment)
    if login is not None:
        project = asked.namespace or environment.get("TIDEGATE_PROJECT") or login.project
        return partial(api.connect, url=login.url, key=login.key, project=project)
    if asked.via == API:
        raise CommandError("not logged in: tidegate login URL, or set TIDEGATE_API_URL and TIDEGATE_API_KEY")
    return _kubernetes(asked, environment)


def login_of(environment: Mapping[str, str]) -> Login | None:
    """From the environment, else what `tidegate login` has kept."""
    url, key = environment.get("TIDEGATE_API_URL"), environment.get("TIDEGATE_API_KEY")
    if bool(url) != bool(key):
        missing = "TIDEGATE_API_KEY" if url else "TIDEGATE_API_URL"
        raise CommandError(f"{missing} is not set: set both, or neither to use the login or the kubeconfig")
    if url and key:
        return Login(url=api.checked_url(url), key=key)
    return stored_login.read(stored_login.path(environment))


def _kubernetes(asked: Asked, environment: Mapping[str, str]) -> Callable[[], Backend]:
    # Imported here: it takes most of a second, which the other way needn't wait for.
    from tidegate_cli.backends import kubernetes  # noqa: PLC0415

    login = stored_login.read(stored_login.path(environment))
    return partial(
        kubernetes.connect,
        kubeconfig=asked.kubeconfig,
        context=asked.context,
        namespace=asked.namespace or environment.get("TIDEGATE_PROJECT"),
        dashboard=environment.get("TIDEGATE_API_URL") or (login.url if login else None),
    )
