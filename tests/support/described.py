"""Calls made from the API's description by schemathesis, and a project with one of everything for them."""

import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import schemathesis
from flask import Flask
from pydantic import SecretStr
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from support.pods import Pod, PoolRun
from support.runs import now
from support.web import Stack

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

EXAMPLES = int(os.environ.get("TIDEGATE_EXAMPLES", "3"))
"""Random calls of each operation, good ones and bad ones. With more than 10 of them all systematic ones are made, too."""


PROJECT = "/api/v1/projects/{project}"
DEFINITIONS = ("tasks", "queues", "schedules", "pools")
CHILD = "/internal/v1/runs/{uid}/children/{child}"
RULES: dict[str, list[str]] = {
    "POST /api/v1/me/password": ["403"],  # the present password is wrong
    "POST /api/v1/projects": ["409"],  # a namespace of Kubernetes, or one that is no project
    "POST /api/v1/users": ["409"],  # the address is taken
    "PATCH /api/v1/users/{user}": ["409", "422"],  # the address is taken; keysTo goes with disabled
    "DELETE /api/v1/sessions/{session}": ["404"],
    "POST /api/v1/users/{user}:reset-password": ["404"],  # a user who is disabled
    "GET /internal/v1/runs/{uid}/checkpoint": ["404"],  # there is none yet
    f"POST {PROJECT}/api-keys": ["422"],  # its end is in the past
    f"DELETE {PROJECT}/api-keys/{{key}}": ["404"],
    f"POST {PROJECT}/api-keys/{{key}}:take-over": ["404"],
    f"GET {PROJECT}/batches": ["422"],  # the range is too long, or ends before it begins; so below
    f"GET {PROJECT}/stats": ["422"],
    f"POST {PROJECT}/bulk/{{bulk}}:abort": ["409"],  # it has ended
    f"DELETE {PROJECT}/invitations/{{invitation}}": ["404"],
    f"PUT {PROJECT}/members/{{user}}": ["404"],
    f"DELETE {PROJECT}/members/{{user}}": ["404"],
    f"DELETE {PROJECT}/members/me": ["403", "404"],  # a key is no member
    f"GET {PROJECT}/runs": ["422"],  # a cursor that is none
    f"GET {PROJECT}/runs/{{run}}": ["303"],  # its end is waited for elsewhere; so below
    f"POST {PROJECT}/runs": ["303", "409", "422"],  # the name is taken; fields that exclude each other
    f"POST {PROJECT}/runs:batch": ["422"],
    f"POST {PROJECT}/runs:bulk": ["422"],
    f"DELETE {PROJECT}/runs/{{run}}": ["404"],
    f"GET {PROJECT}/runs/{{run}}/result": ["404"],  # it has none
    f"POST {PROJECT}/runs/{{run}}:replay": ["409", "422"],
    f"POST {PROJECT}/schedules/{{schedule}}:backfill": ["422"],  # it ends before it begins, or has too many ticks
    f"POST {PROJECT}/runs/{{run}}:reschedule": ["409", "422"],  # a year before 1970
    f"PUT {PROJECT}/settings": ["422"],  # 7.0 is an integer to a schema
    **{f"GET {PROJECT}/{kind}": ["422"] for kind in DEFINITIONS},  # a cursor that is none
    f"DELETE {PROJECT}/webhooks/{{webhook}}": ["404"],
    f"POST {PROJECT}/webhooks": ["422"],  # an address that is refused
    f"PATCH {PROJECT}/webhooks/{{webhook}}": ["422"],
    "POST /internal/v1/runs/{uid}/children": ["403", "409", "422"],  # fields that ask for the role developer
    "GET /internal/v1/runs/{uid}/children": ["422"],
    f"GET {CHILD}": ["403"],  # no child of the run
    f"GET {CHILD}/result": ["403"],
    f"POST {CHILD}:cancel": ["403"],
    **{
        f"{method} {PROJECT}/{kind}/{{name}}": [
            "404",
            "409",
            "412",
            "422",
        ]  # a version that it hasn't; the apiserver's rules
        for method in ("PUT", "DELETE")
        for kind in DEFINITIONS
    },
}
"""What else than 2xx answers a call that the description allows, by operation: rules that no schema can express, and things that
aren't there (a DELETE is made of names that aren't, so that the others find theirs)."""

SELDOM_GOOD = frozenset(
    {
        "POST /api/v1/me/password",
        "DELETE /api/v1/sessions/{session}",
        *(f"{method} {PROJECT}/{kind}/{{name}}" for method in ("PUT", "DELETE") for kind in DEFINITIONS),
        f"DELETE {PROJECT}/invitations/{{invitation}}",
        f"PUT {PROJECT}/members/{{user}}",
        f"DELETE {PROJECT}/members/{{user}}",
        f"GET {PROJECT}/runs",  # all of the first ones have a cursor
        f"POST {PROJECT}/runs",
        f"POST {PROJECT}/runs:batch",
        f"DELETE {PROJECT}/runs/{{run}}",
        f"GET {PROJECT}/runs/{{run}}/result",
        "POST /internal/v1/runs/{uid}/children",
        "GET /internal/v1/runs/{uid}/children",  # all of the first ones have a cursor
        "GET /internal/v1/runs/{uid}/checkpoint",  # the run may have none yet
        "POST /api/v1/users/{user}:reset-password",
        f"GET {CHILD}",
        f"GET {CHILD}/result",
        f"POST {CHILD}:cancel",
    }
)
"""Operations of which no systematic call need be answered with 2xx, by what is there: the tests of the area make good ones."""

AS_DESCRIBED = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
IN_A_POOL = "run-in-a-pool"
CALLERS = ("nobody", "viewer", "operator", "developer", "of-some-tasks", IN_A_POOL)
"""Who else calls everything, beside those who may: keys of each role, one of some tasks, no key at all, and a run in a pool."""
RUN_TOKEN_KEY = b"k" * 32

REFUSED = ["400", "403", "404", "405", "409", "412", "413", "415", "422"]
"""Answers to what it doesn't allow."""


def under(prefix: str, app: Flask) -> "WSGIApplication":
    """The app for a dispatcher that takes the prefix off its paths."""

    def call(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = prefix + environ["PATH_INFO"]
        return app(environ | {"SCRIPT_NAME": "", "PATH_INFO": path}, start_response)

    return call


class World:
    """The app, who calls it, and what there is to name in a path."""

    def __init__(self, stack: Stack) -> None:
        keys = SecretStr(RUN_TOKEN_KEY.decode())
        self._parts = stack.parts("web", rate_limit_requests=0, run_token_keys=keys)
        self._me = me = self._parts.sign_in()
        self._pod = Pod(stack, self._parts)
        self._in_a_pool = PoolRun(stack, self._parts, "in-a-pool", key=RUN_TOKEN_KEY)
        # One server for both ports.
        both = DispatcherMiddleware(self._parts.app, {"/internal": under("/internal", self._parts.internal)})
        self._schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", both)
        self._schema.config.checks.negative_data_rejection.expected_statuses = REFUSED
        self._schema.config.generation.with_security_parameters = False  # ours stand there
        stack.runs.create("there")
        stack.runs.create("ended")
        stack.runs.status("ended", phase="Succeeded", finishedAt=now())
        assert me.get("runs/ended").status_code == 200  # the archive has it
        stack.runs.task("resize", image="busybox")
        stack.runs.queue("mail")
        stack.runs.schedule("nightly")
        stack.runs.pool("warm", image="busybox")

        def number(path: str, body: dict[str, Any]) -> int:
            made: Any = me.post(path, body).json
            return int(made["id"])

        user = number("/api/v1/users", {"email": "bob@example.com"})
        webhook = [number("webhooks", {"url": "https://example.com/hook"}) for _ in range(5)][-1]
        self._there: dict[str, Any] = {
            "project": stack.project,
            "run": "there",
            "uid": self._pod.uid,
            "queue": "mail",
            "schedule": "nightly",
            "user": user,
            "webhook": webhook,
            "delivery": number(f"webhooks/{webhook}:test", {}),
            "bulk": number("runs:bulk", {"action": "cancel", "filter": {"q": "nothing"}}),
        }
        # The first ones are ended by calls with small numbers.
        made: Any = [me.post("api-keys", {"name": "pipeline", "role": "admin"}).json for _ in range(5)][-1]
        self._key = made["key"]
        self._keys = {role: self._parts.key(role).key for role in ("viewer", "operator", "developer")}
        self._keys["of-some-tasks"] = self._parts.key("operator", tasks=["resize"]).key
        person = [self._parts.sign_in() for _ in range(5)][-1]
        self._person = {"X-CSRFToken": person.csrf}, dict([person.cookie().split("=", 1)])
        self._names = {"tasks": "resize", "queues": "mail", "schedules": "nightly", "pools": "warm"}

    def operation(self, label: str) -> APIOperation[Any, Any, Any, Any]:
        """An operation of the description."""
        method, path = label.split(" ")
        return self._schema[path][method]

    def systematic(self, label: str) -> Iterator[Case[Any]]:
        """Calls at the bounds of what is described: the first of an operation, and a part of the others."""
        cases = self._schema.iter_coverage_cases(
            self.operation(label),
            generation_modes=list(GenerationMode),
            generation_config=self._schema.config.generation,
            extra_data_source=None,
            error_feedback=None,
        )
        for number, case in enumerate(cases):
            if EXAMPLES > 10 or number < 12 or number % 20 == 0:
                yield case

    def check(self, case: Case[Any]) -> bool:
        """Make the call, and hold the answer against the description. Whether it was answered well: with 2xx, or with where to
        go on."""
        self._settle(case)
        operation = case.operation
        allowed = ["2xx", *RULES.get(f"{operation.method.upper()} {operation.path}", [])]
        self._schema.config.checks.positive_data_acceptance.expected_statuses = allowed
        headers, cookies = self._credentials(case)
        # It can't take a session away again; test_routes.py does.
        excluded = [ignored_auth] if cookies else []
        answer = case.call_and_validate(headers=headers, cookies=cookies, excluded_checks=excluded)
        return 200 <= answer.status_code < 300 or answer.status_code == 303

    def check_as(self, case: Case[Any], who: str) -> None:
        """Make the call as a user who may do less, or without signing in: whatever is answered is described, and no failure of ours."""
        self._settle(case)
        bearer = self._keys.get(who)
        if who == IN_A_POOL:
            bearer = self._in_a_pool.token
            if (case.path_parameters or {}).get("uid") == self._pod.uid:
                case.path_parameters["uid"] = self._in_a_pool.uid
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        case.call_and_validate(headers=headers, checks=AS_DESCRIBED)

    def _credentials(self, case: Case[Any]) -> tuple[dict[str, str], dict[str, str]]:
        """The credentials for this call: a key, an admin of the installation, or a pod."""
        permission = case.operation.definition.raw["x-tidegate-permission"]
        if permission == "run-token":
            return {"Authorization": f"Bearer {self._pod.token}"}, {}
        if permission in ("person", "instance-admin"):
            return self._person
        return {"Authorization": f"Bearer {self._key}"}, {}

    def _settle(self, case: Case[Any]) -> None:
        """Lead it to what is there, where the path isn't meant to be wrong."""
        asked = case.path_parameters
        path = case.meta.components.get(ParameterLocation.PATH) if case.meta else None
        if path is not None and path.mode.is_negative:
            return
        names = {"name": self._names.get(case.operation.path.split("/")[5])} if "name" in asked else {}
        if case.operation.path.endswith("/wait"):
            names["run"] = "ended"  # what it waits for has happened
        for name, value in {**self._there, **names}.items():
            if name in asked and (name == "project" or case.method != "DELETE"):
                asked[name] = value
