"""The API's description as it is served, beside the routes of the real app."""

import re
from typing import Any

from support.web import Parts, Stack
from tidegate_web.app import create_app
from tidegate_web.openapi.paths import places

PREFIXES = ("/api/", "/internal/", "/live/")


def without_names(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_everybody_may_read_it(parts: Parts) -> None:
    answer = parts.client().get("/api/v1/openapi.json")
    assert answer.status_code == 200
    reported: Any = answer.json
    assert reported["openapi"].startswith("3.1")


def test_each_route_and_method_of_the_app_is_described_and_nothing_else(parts: Parts) -> None:
    reported: Any = parts.client().get("/api/v1/openapi.json").json
    described = {
        f"{method.upper()} {without_names(path)}" for path, methods in reported["paths"].items() for method in methods
    }
    routes = {
        f"{method} {without_names(place.path)}"
        for app in (parts.app, parts.internal)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIXES)
        for place in places(rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert described == routes


def test_a_process_without_streams_reports_the_same(stack: Stack, parts: Parts) -> None:
    alone = create_app(stack.services("web"), live=False)
    assert alone.test_client().get("/api/v1/openapi.json").json == parts.client().get("/api/v1/openapi.json").json
