"""The pages about people and keys. Their forms go through the same functions as the API; what is wrong is shown on the page
that sent it, and a secret is shown on the page that answers its making, and nowhere else.
"""

from collections.abc import Callable
from datetime import timedelta

from flask import Blueprint, render_template, request
from werkzeug.wrappers import Response

from tidegate_web.accounts import own_account, users
from tidegate_web.accounts.users import AccountChange
from tidegate_web.api import bodies
from tidegate_web.api import keys as api_keys
from tidegate_web.api import members as api_members
from tidegate_web.api import people as api_people
from tidegate_web.api.auditlog import wanted_entries
from tidegate_web.api.models import MemberChange, NewApiKey, NewInvitation, NewUser, PasswordChange
from tidegate_web.auth.addresses import base_url
from tidegate_web.auth.guard import actor, person
from tidegate_web.current_app import services
from tidegate_web.pages.forms import Shown, carry_out, number, text
from tidegate_web.projects import api_keys as project_keys
from tidegate_web.projects import members
from tidegate_web.projects.existing import require_project
from tidegate_web.services import Services
from tidegate_web.shared.json_types import JsonObject
from tidegate_web.shared.paging import cut
from tidegate_web.shared.permissions import Permission, Role, requires
from tidegate_web.shared.problems import Problem

PAGE = 50


def _members_page(project: str, shown: Shown) -> str:
    made = services()
    found, open_ones = members.listed_with_invitations(made, project)
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
        role = api_members.role_named(new.role)
        _, sent = members.invite(made, actor(), project, email=new.email, role=role, base=base_url(made))
        return {"invited": new.email, "sent": sent}

    def change() -> None:
        wanted = bodies.validated(MemberChange, {"role": text("role")})
        members.put(made, actor(), project, number("id"), api_members.role_named(wanted.role))

    return {
        "invite": invite,
        "change": change,
        "remove": lambda: members.remove(made, actor(), project, number("id")),
        "withdraw": lambda: members.withdraw(made, actor(), project, number("id")),
    }


def _keys_page(project: str, shown: Shown) -> str:
    made = services()
    rows = project_keys.listed(made, project)
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
        row = project_keys.take_over(made, actor(), project, number("id"))
        return {"done": f"You answer for the key {row.name} now."}

    return {
        "create": create,
        "take-over": take_over,
        "revoke": lambda: project_keys.revoke(made, actor(), project, number("id")),
    }


def _account_page(shown: Shown) -> str:
    made = services()
    return render_template(
        "account.html",
        account=own_account.account(made, actor()),
        sessions=[api_people.session_json(one) for one in own_account.sessions(made, actor())],
        passwords=made.settings.passwords,
        zones=own_account.time_zones(),
        now=made.clock.now(),
        **shown,
    )


def _account_acts(made: Services) -> dict[str, Callable[[], Shown | None]]:
    def password() -> Shown:
        wanted = bodies.validated(PasswordChange, {"current": text("current"), "new": text("new")})
        own_account.change_password(made, actor(), current=wanted.current, new=wanted.new)
        return {"done": "Your password is changed, and every other session is signed out."}

    def everywhere() -> Shown:
        own_account.end_own_sessions(made, actor())
        return {"done": "Every other session is signed out."}

    return {
        "password": password,
        "end": lambda: own_account.end_own_sessions(made, actor(), session_id=number("id")),
        "everywhere": everywhere,
        "zone": lambda: own_account.choose_time_zone(made, actor(), text("zone") or None),
    }


def _users_page(shown: Shown) -> str:
    made = services()
    after = request.args.get("after", "0")
    start = int(after) if after.isascii() and after.isdecimal() and len(after) <= 15 else 0
    rows = users.listed(made, after=start, limit=PAGE + 1)
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
        new = bodies.validated(NewUser, wanted)
        row, sent = users.create(
            made, actor(), email=new.email, name=new.name, instance_admin=new.instance_admin, base=base_url(made)
        )
        return {"invited": row.email, "sent": sent}

    def reset() -> Shown:
        sent = users.reset_password(made, actor(), number("id"), base=base_url(made))
        return {"invited": text("email"), "sent": sent}

    def change(wanted: AccountChange) -> Callable[[], None]:
        return lambda: _discard(users.change(made, actor(), number("id"), wanted))

    return {
        "create": create,
        "reset": reset,
        "enable": change(AccountChange(disabled=False)),
        "promote": change(AccountChange(instance_admin=True)),
        "demote": change(AccountChange(instance_admin=False)),
    }


def _user_page(user_id: int, shown: Shown) -> str:
    made = services()
    account, owned = users.with_keys(made, user_id)
    return render_template("user.html", account=account, keys=owned, role_of=Role, now=made.clock.now(), **shown)


def _disabling(made: Services, user_id: int) -> dict[str, Callable[[], Shown | None]]:
    def disable() -> None:
        heir = None
        if text("keys") == "hand-over":
            heir = users.find_by_email(made, text("heir"))
            if heir is None:
                raise Problem(422, "There is no user with this address.")
        wanted = AccountChange(disabled=True, keys_to=None if heir is None else heir.id)
        users.change(made, actor(), user_id, wanted)

    def enable() -> None:
        users.change(made, actor(), user_id, AccountChange(disabled=False))

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
        rows, after = wanted_entries(project=project, limit=PAGE)
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
        rows, after = wanted_entries(project=None, limit=PAGE)
        return render_template("audit.html", entries=rows, after=after, now=made.clock.now())
