"""Signing in through a provider: who it vouches for becomes one of our users, or is refused."""

from typing import Protocol

import requests
import structlog
from flask import Blueprint, current_app, redirect, request, session, url_for
from joserfc.errors import JoseError
from werkzeug.wrappers import Response

from tidegate_web.auth import invitations
from tidegate_web.auth.addresses import base_url
from tidegate_web.auth.changed_rights import tokens_of
from tidegate_web.auth.client_network import client_network
from tidegate_web.auth.first_proof import EndedAccess, prove
from tidegate_web.auth.group_roles import follow_groups
from tidegate_web.auth.groups import Grants
from tidegate_web.auth.paths import local_path
from tidegate_web.auth.providers import OAuthError, Person, Provider, SignInRefusedError
from tidegate_web.auth.session import open_session
from tidegate_web.current_app import services
from tidegate_web.services import Services
from tidegate_web.shared.permissions import Permission, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import audit, members, users
from tidegate_web.store.queries.users import UserRow

log = structlog.stdlib.get_logger(__name__)

EXTENSION = "tidegate.providers"
NOT_HERE = "You have no access here yet. Ask an admin to invite you."
SOMEBODY_ELSE = (
    "Your address belongs to a user here who signs in with another account at this provider. Ask an admin of the "
    "installation to give that user another address, then sign in again."
)


def providers() -> dict[str, Provider]:
    """Those of the app that answers the present request."""
    found: dict[str, Provider] = current_app.extensions[EXTENSION]
    return found


def _provider(name: str) -> Provider:
    found = providers().get(name)
    if found is None:
        raise Problem(404, "There is no such sign-in provider.")
    return found


def take_in(made: Services, provider: str, person: Person) -> UserRow:
    """Our user for whom the provider vouches: known by the provider's subject, else by the verified address, else new
    where a group of theirs gives them something or the settings let every user in."""
    settings = made.settings
    domain = person.email.rpartition("@")[2]
    if settings.oidc_allowed_domains and domain not in settings.oidc_allowed_domains:
        raise SignInRefusedError("People of your address's domain can't sign in here.")
    mapping = settings.group_roles
    grants = mapping.grants(person.groups)
    with made.engine.begin() as connection:
        known = users.by_identity(connection, provider=provider, subject=person.subject)
        row = known or users.any_by_email(connection, person.email)
        if row is None:
            invited = members.is_invited(connection, email=person.email, now=made.clock.now())
            if not (grants != Grants() or invited or settings.oidc_sign_up):
                raise SignInRefusedError(NOT_HERE)
            name = person.name.replace("\x00", "")[:200] or person.email.partition("@")[0]
            user_id = users.create(connection, email=person.email, name=name, password_hash=None, instance_admin=False)
            row = users.any_by_email(connection, person.email)
            assert row is not None
            if user_id is not None:
                audit.write(
                    connection,
                    actor=provider,
                    address=request.remote_addr or "",
                    action="user.create",
                    outcome="done",
                    target=person.email,
                )
        row = users.locked(connection, user_id=row.id)
        if row.disabled_at is not None:
            raise SignInRefusedError("This account is disabled.")
        address, ended = request.remote_addr or "", EndedAccess()
        if known is None:
            if users.other_subject(connection, provider=provider, subject=person.subject, user_id=row.id):
                raise SignInRefusedError(SOMEBODY_ELSE)
            ended = prove(connection, user_id=row.id, now=made.clock.now(), actor=provider, address=address)
            users.add_identity(connection, provider=provider, subject=person.subject, user_id=row.id)
        invitations.accept_all(made, connection, email=person.email, user_id=row.id, address=address)
        admin = follow_groups(connection, mapping=mapping, user=row, groups=person.groups)
        changed = tokens_of(connection, user_id=row.id)
    ended.forget(made.auth.callers)
    made.auth.callers.forget(*changed)
    return UserRow(id=row.id, email=row.email, name=row.name, instance_admin=admin)


def _ask(provider: Provider) -> Person:
    """Whom the callback is about; whatever goes wrong is one kind of error with words for people."""
    try:
        return provider.person()
    except OAuthError as error:
        log.info("a sign-in was refused", provider=provider.name, error=error.error, detail=error.description)
        if error.error == "access_denied":
            raise SignInRefusedError("You didn't let the provider say who you are.") from error
        raise SignInRefusedError("This sign-in is not valid any more. Begin again.") from error
    except (requests.RequestException, JoseError, ValueError, KeyError, TypeError) as error:
        log.warning("a sign-in provider fails", provider=provider.name, error=str(error))
        raise SignInRefusedError(f"{provider.label} doesn't answer as it should. Try again later.") from error


class LoginPage(Protocol):
    """Renders the sign-in page."""

    def __call__(self, *, target: str | None, error: str) -> str: ...


def add_routes(area: Blueprint, *, login_page: LoginPage) -> None:
    """``/login/<provider>`` and its callback. ``login_page`` renders the sign-in page with an error."""

    @area.get("/login/<provider>")
    @requires(Permission.PUBLIC)
    def begin(provider: str) -> Response:
        chosen = _provider(provider)
        session["next"] = local_path(request.args.get("next"))
        try:
            back = base_url(services()) + url_for("auth.callback", provider=provider)
            answer: Response = chosen.client.authorize_redirect(back)
        except (requests.RequestException, OAuthError, ValueError, KeyError) as error:
            log.warning("a sign-in provider fails", provider=provider, error=str(error))
            raise Problem(503, f"{chosen.label} doesn't answer. Try again later.") from error
        return answer

    @area.get("/login/<provider>/callback")
    @requires(Permission.PUBLIC)
    def callback(provider: str) -> Response | tuple[str, int]:
        made, chosen = services(), _provider(provider)
        target = local_path(session.pop("next", None))
        try:
            person = _ask(chosen)
            user = take_in(made, provider, person)
        except SignInRefusedError as error:
            with made.engine.begin() as connection:
                audit.count(
                    connection,
                    actor=provider,
                    address=client_network(request.remote_addr or ""),
                    action="session.open",
                    outcome="refused",
                    now=made.clock.now(),
                    window_seconds=made.settings.login_window_seconds,
                    detail={"why": str(error)},
                )
            return login_page(target=target, error=str(error)), 403
        open_session(user, how=provider, refresh_token=person.refresh_token, by_groups=bool(made.settings.group_roles))
        return redirect(target or url_for("pages.home"), code=303)
