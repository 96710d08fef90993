"""The pages about people and keys. Their forms go through the same functions as the API; what is wrong is told on the page
that sent it, and a secret is shown on the page that answers its making, and nowhere else.
"""

from collections.abc import Callable
from datetime import timedelta

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from tidegate_web.api import bodies
from tidegate_web.api import keys as api_keys
from tidegate_web.api import members as api_members
from tidegate_web.api import people as api_people
from tidegate_web.api.auditlog import wanted_entries
from tidegate_web.api.models import MemberChange, NewApiKey, NewInvitation, NewUser, PasswordChange, UserChange
from tidegate_web.auth.guard import person
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, carry_out, number, text
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem
from tidegate_web.store.queries import keys, members, users

PAGE = 50


def _members_page(project: str, shown: Shown) -> str:
    made = services()
    with made.engine.connect() as connection:
        found = members.listed(connection, project=project)
        open_ones = members.invitations(connection, project=project)
    return render_template(
        "members.html",
        project=project,
        members=[api_members.member_json(row) for row in found],
        invitations=[api_members.invitation_json(row) | {"expires": row.expires} for row in open_ones],
        roles=list(Role),
        now=made.clock.now(),
        me=person(),
        **shown,
    )


def _member_acts(made: Services, project: str) -> dict[str, Callable[[], Shown | None]]:
    def invite() -> Shown:
        new = bodies.validated(NewInvitation, {"email": text("email"), "role": text("role")})
        _, sent = api_members.invite(made, project, new)
        return {"invited": new.email, "sent": sent}

    def change() -> None:
        wanted = bodies.validated(MemberChange, {"role": text("role")})
        api_members.put_member(made, project, number("id"), api_members.role_named(wanted.role))

    return {
        "invite": invite,
        "change": change,
        "remove": lambda: api_members.remove_member(made, project, number("id")),
        "withdraw": lambda: api_members.withdraw(made, project, number("id")),
    }


def _keys_page(project: str, shown: Shown) -> str:
    made = services()
    with made.engine.connect() as connection:
        rows = keys.listed(connection, project=project, now=made.clock.now())
    return render_template(
        "keys.html", project=project, keys=rows, roles=list(Role), role_of=Role, now=made.clock.now(), **shown
    )


def _key_acts(made: Services, project: str) -> dict[str, Callable[[], Shown | None]]:
    def create() -> Shown:
        days = text("days")
        tasks = [task for task in text("tasks").replace(",", " ").split() if task]
        wanted: JsonObject = {"name": text("name"), "role": text("role"), "tasks": tasks or None}
        if days:
            wanted["expiresAt"] = made.clock.now() + timedelta(days=min(number("days"), 3650))
        row, key = api_keys.create_key(made, project, bodies.validated(NewApiKey, wanted))
        return {"made": row, "secret": key}

    def take_over() -> Shown:
        row = api_keys.take_over(made, project, number("id"))
        return {"done": f"You answer for the key {row.name} now."}

    return {
        "create": create,
        "take-over": take_over,
        "revoke": lambda: api_keys.revoke_key(made, project, number("id")),
    }


def _account_page(shown: Shown) -> str:
    made = services()
    with made.engine.connect() as connection:
        mine = users.shown(connection, user_id=person().id)
    return render_template(
        "account.html",
        account=mine,
        sessions=api_people.my_sessions(made),
        passwords=made.settings.passwords,
        now=made.clock.now(),
        **shown,
    )


def _account_acts(made: Services) -> dict[str, Callable[[], Shown | None]]:
    def password() -> Shown:
        wanted = {"current": text("current"), "new": text("new")}
        api_people.change_password(made, bodies.validated(PasswordChange, wanted))
        return {"done": "Your password is changed, and every other session is signed out."}

    def everywhere() -> Shown:
        api_people.end_my_sessions(made)
        return {"done": "Every other session is signed out."}

    return {
        "password": password,
        "end": lambda: api_people.end_my_sessions(made, session_id=number("id")),
        "everywhere": everywhere,
    }


def _users_page(shown: Shown) -> str:
    made = services()
    after = request.args.get("after", "0")
    start = int(after) if after.isascii() and after.isdecimal() and len(after) <= 15 else 0
    with made.engine.connect() as connection:
        rows = users.listed(connection, after=start, limit=PAGE + 1)
    people, last = cut(rows, PAGE)
    return render_template(
        "users.html",
        people=people,
        after=None if last is None else last.id,
        now=made.clock.now(),
        **shown,
    )


def _user_acts(made: Services) -> dict[str, Callable[[], Shown | None]]:
    def create() -> Shown:
        wanted = {"email": text("email"), "name": text("name"), "instanceAdmin": text("admin") == "on"}
        row, sent = api_people.create_user(made, bodies.validated(NewUser, wanted))
        return {"invited": row.email, "sent": sent}

    def reset() -> Shown:
        sent = api_people.reset_password(made, number("id"))
        return {"invited": text("email"), "sent": sent}

    def change(**values: bool) -> Callable[[], None]:
        return lambda: _discard(api_people.change_user(made, number("id"), bodies.validated(UserChange, values)))

    return {
        "create": create,
        "reset": reset,
        "enable": change(disabled=False),
        "promote": change(instanceAdmin=True),
        "demote": change(instanceAdmin=False),
    }


def _user_page(user_id: int, shown: Shown) -> str:
    made = services()
    with made.engine.connect() as connection:
        account = users.shown(connection, user_id=user_id)
        if account is None:
            raise Problem(404, "There is no such user.")
        owned = keys.owned(connection, owner_id=user_id)
    return render_template("user.html", account=account, keys=owned, role_of=Role, now=made.clock.now(), **shown)


def _disabling(made: Services, user_id: int) -> dict[str, Callable[[], Shown | None]]:
    def disable() -> None:
        wanted: JsonObject = {"disabled": True}
        if text("keys") == "hand-over":
            with made.engine.connect() as connection:
                heir = users.any_by_email(connection, text("heir"))
            if heir is None:
                raise Problem(422, "There is no user with this address.")
            wanted["keysTo"] = heir.id
        api_people.change_user(made, user_id, bodies.validated(UserChange, wanted))

    def enable() -> None:
        api_people.change_user(made, user_id, bodies.validated(UserChange, {"disabled": False}))

    return {"disable": disable, "enable": enable}


def _discard(_: object) -> None:
    """An act that has nothing to show."""


def add_routes(area: Blueprint) -> None:
    """The routes of these pages."""

    @area.get("/projects/<project>/members")
    @requires(Permission.ADMIN)
    def members_page(project: str) -> str:
        require_project(services(), project)
        return _members_page(project, {})

    @area.post("/projects/<project>/members")
    @requires(Permission.ADMIN)
    def change_members(project: str) -> Response | tuple[str, int]:
        return carry_out(_member_acts(services(), project), lambda shown: _members_page(project, shown))

    @area.get("/projects/<project>/keys")
    @requires(Permission.ADMIN)
    def keys_page(project: str) -> str:
        require_project(services(), project)
        return _keys_page(project, {})

    @area.post("/projects/<project>/keys")
    @requires(Permission.ADMIN)
    def change_keys(project: str) -> Response | tuple[str, int]:
        return carry_out(_key_acts(services(), project), lambda shown: _keys_page(project, shown))

    @area.get("/projects/<project>/audit")
    @requires(Permission.ADMIN)
    def audit_page(project: str) -> str:
        made = services()
        require_project(made, project)
        rows, after = wanted_entries(made, project=project, limit=PAGE)
        return render_template("audit.html", project=project, entries=rows, after=after, now=made.clock.now())

    @area.get("/account")
    @requires(Permission.PERSON)
    def account_page() -> str:
        return _account_page({})

    @area.post("/account")
    @requires(Permission.PERSON)
    def change_account() -> Response | tuple[str, int]:
        return carry_out(_account_acts(services()), _account_page)

    @area.get("/users")
    @requires(Permission.INSTANCE_ADMIN)
    def users_page() -> str:
        return _users_page({})

    @area.post("/users")
    @requires(Permission.INSTANCE_ADMIN)
    def change_users() -> Response | tuple[str, int]:
        return carry_out(_user_acts(services()), _users_page)

    @area.get("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    def user_page(user: int) -> str:
        return _user_page(user, {})

    @area.post("/users/<id:user>")
    @requires(Permission.INSTANCE_ADMIN)
    def change_one_user(user: int) -> Response | tuple[str, int]:
        return carry_out(_disabling(services(), user), lambda shown: _user_page(user, shown))

    @area.get("/audit")
    @requires(Permission.INSTANCE_ADMIN)
    def whole_audit_page() -> str:
        made = services()
        rows, after = wanted_entries(made, project=None, limit=PAGE)
        return render_template("audit.html", entries=rows, after=after, now=made.clock.now())
