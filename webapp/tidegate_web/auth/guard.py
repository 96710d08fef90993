"""The check that every request goes through: who asks, the CSRF token of a caller who comes by cookie, and whether the route's
declared permission lets them.

A request with an ``Authorization`` header is judged by that alone: a bad key never falls back on a cookie.
"""

from collections.abc import Callable
from typing import cast

from flask import Flask, Response, current_app, g, request
from flask_login import current_user  # type: ignore[import-untyped]
from flask_wtf.csrf import CSRFError, CSRFProtect  # type: ignore[import-untyped]

from tidegate_web.auth.actor import Actor, Credential
from tidegate_web.auth.caller import Caller
from tidegate_web.auth.keys import caller_of_key
from tidegate_web.auth.session import caller_of_session, make_login_manager, session_token, to_login
from tidegate_web.auth.tokens import KEY_PREFIX, token_hash
from tidegate_web.current_app import services
from tidegate_web.serving.problem_response import problem_response
from tidegate_web.shared.permissions import Permission, Role, permission_of
from tidegate_web.shared.problems import Problem
from tidegate_web.shared.unstorable import check_address, check_form
from tidegate_web.store.engine import is_unavailable
from tidegate_web.store.queries.users import UserRow

API_PREFIXES = ("/api/", "/internal/", "/live/")
READING = ("GET", "HEAD", "OPTIONS")
ANYONE = Caller(name="nobody")


def caller() -> Caller | None:
    """The caller; None for one who hasn't signed in."""
    return cast("Caller | None", g.get("caller"))


def signed_in() -> UserRow | None:
    """The person who asks; None for a stranger and for an API key."""
    asks = caller()
    return None if asks is None else asks.user


def person() -> UserRow:
    """The person who asks, where the route's permission lets no key in."""
    user = signed_in()
    assert user is not None
    return user


def actor() -> Actor:
    """Who asks, for a service: whom the audit log and what is written to the cluster name."""
    asks = caller() or ANYONE
    return Actor(name=asks.name, address=request.remote_addr or "", caller=asks, credential=_credential())


def _credential() -> Credential | None:
    if key := _bearer():
        return Credential(digest=token_hash(key), is_key=True)
    token = session_token()
    return None if token is None else Credential(digest=token_hash(token), is_key=False)


def role_here(project: str) -> Role | None:
    """The caller's role in a project; None without one."""
    asks = caller()
    return None if asks is None else asks.role_in(project)


def asks_again() -> Callable[[], Caller | None]:
    """A way to look later whether the caller still may, as long-lived streams do."""
    made = services()
    if key := _bearer():
        return lambda: caller_of_key(made, key)
    token: str = current_user.token
    return lambda: caller_of_session(made, token)


def wants_json() -> bool:
    """Whether an error is answered as a problem rather than as a page: under the API's paths, and where there are no pages."""
    return not current_app.has_static_folder or request.path.startswith(API_PREFIXES)


def _bearer() -> str | None:
    """The API key that is shown; None when there is no such header."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token.startswith(KEY_PREFIX) or len(token) > 200:
        raise Problem(401, "Send an API key: 'Authorization: Bearer tg_…'.", headers={"WWW-Authenticate": "Bearer"})
    return token


def _identify() -> Caller | None:
    key = _bearer()
    if key is None:
        return cast("Caller", current_user.caller) if current_user.is_authenticated else None
    try:
        found = caller_of_key(services(), key)
    except Exception as error:
        if not is_unavailable(error):
            raise
        raise Problem(503, "The database doesn't answer.", headers={"Retry-After": "5"}) from error
    if found is None:
        raise Problem(401, "This API key is not valid.", headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    g.by_key = True
    return found


def _count(asks: Caller | None) -> None:
    """429 for a key that calls, or a session that writes, more than it may."""
    if asks is None:
        return
    if g.get("by_key"):
        subject = asks.name
    elif request.method in READING:
        return
    else:
        subject = f"session:{token_hash(current_user.token).hex()[:32]}"
    bucket = services().auth.limits.take(subject)
    if bucket is not None:
        g.rate_headers = bucket.headers()
        if not bucket.taken:
            raise bucket.refusal()


def _tell_rate(response: Response) -> Response:
    response.headers.update(g.get("rate_headers", {}))
    return response


def _check(csrf: CSRFProtect) -> Response | None:
    """Before every view: what it declares is checked; one that declares nothing is refused."""
    if request.endpoint is None or request.endpoint == "static":
        return None  # 404 and 405 are answered by Flask
    permission = permission_of(current_app.view_functions.get(request.endpoint))
    if permission is None:
        raise Problem(403, "This route has no permission declared.")
    if permission is Permission.RUN_TOKEN:
        check_address(request)
        return None  # the view looks at the token itself
    g.caller = asks = _identify()
    if asks is None and permission is not Permission.PUBLIC:
        return _stranger()
    check_address(request)
    _count(asks)
    if request.method not in READING and not g.get("by_key"):
        csrf.protect()
    if not wants_json():
        check_form(request)
    if permission is Permission.PUBLIC:
        return None
    arguments = request.view_args or {}
    if asks is None or not asks.may(permission, arguments):
        raise Problem(403, "You may not do this.")
    if isinstance(project := arguments.get("project"), str):
        services().projects.namespace_check.check(project)
    return None


def _stranger() -> Response:
    """The answer to a request that shows nothing to know its caller by, or to know at the moment."""
    if g.get("postgres_away"):
        raise Problem(503, "The database doesn't answer.", headers={"Retry-After": "5"})
    if wants_json():
        raise Problem(401, "Sign in first.", headers={"WWW-Authenticate": "Bearer"})
    return to_login()


def _csrf_failed(error: CSRFError) -> Response:
    return problem_response(Problem(403, f"{error.description} Reload the page and try again."))


def install(app: Flask) -> None:
    """Put sign-in, CSRF and the permission check into an app."""
    make_login_manager().init_app(app)
    app.config["WTF_CSRF_CHECK_DEFAULT"] = False  # done by the check below, which knows who comes by cookie
    csrf = CSRFProtect(app)
    app.register_error_handler(CSRFError, _csrf_failed)
    app.before_request(lambda: _check(csrf))
    app.after_request(_tell_rate)
