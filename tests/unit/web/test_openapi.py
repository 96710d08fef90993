"""The API's own description: valid, whole, and of the very types that views take and answer."""

from typing import Any

import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator
from tidegate_web.api_description import description
from tidegate_web.openapi.document import UndescribedError, document
from tidegate_web.shared.permissions import Permission, requires


@pytest.fixture(scope="module")
def reported() -> dict[str, Any]:
    return description()


@pytest.fixture(scope="module")
def operations(reported: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, methods in reported["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid(reported: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(reported).validate()


def test_each_operation_says_who_may_call_it_and_how(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        assert operation["summary"], name
        assert operation["description"].startswith("For "), name
        public = operation["x-tidegate-permission"] == "public"
        assert bool(operation["security"]) is not public, name
    assert operations["DELETE /api/v1/projects/{project}/runs/{run}"]["x-tidegate-permission"] == "admin"
    assert operations["POST /api/v1/projects/{project}/runs"]["security"] == [
        {"apiKey": []},
        {"session": [], "csrf": []},
    ]
    assert operations["GET /api/v1/users"]["security"] == [{"session": []}]
    assert operations["PUT /internal/v1/runs/{uid}/result"]["security"] == [{"runToken": []}]


def test_errors_are_problems_all_over(reported: dict[str, Any], operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        for status, answer in operation["responses"].items():
            assert status.startswith(("2", "3")) is ("$ref" not in answer), name
    for answer in reported["components"]["responses"].values():
        (media,) = answer["content"]
        assert media == "application/problem+json"


def test_what_has_a_body_is_answered_with_what_is_wrong_with_it(operations: dict[str, dict[str, Any]]) -> None:
    for name, operation in operations.items():
        if "requestBody" in operation:
            assert {"400", "413", "415", "422"} <= set(operation["responses"]), name


def test_the_kinds_have_paths_and_types_of_their_own(operations: dict[str, dict[str, Any]]) -> None:
    for one in ("task", "queue", "schedule"):
        operation = operations[f"PUT /api/v1/projects/{{project}}/{one}s/{{name}}"]
        assert operation["operationId"] == f"put{one.capitalize()}"
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": f"#/components/schemas/{one.capitalize()}Body"}


def test_optional_fields_of_resources_are_left_out_and_those_of_the_api_are_null(reported: dict[str, Any]) -> None:
    schemas = reported["components"]["schemas"]
    assert schemas["TaskRunSpec"]["properties"]["queue"]["type"] == "string"
    assert "queue" not in schemas["TaskRunSpec"].get("required", ())
    assert schemas["Run"]["properties"]["queue"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert "queue" in schemas["Run"]["required"]


def test_nothing_of_the_cluster_shows(reported: dict[str, Any]) -> None:
    assert "x-kubernetes" not in str(reported)


def test_a_route_that_says_nothing_of_itself_is_named() -> None:
    app = Flask("tidegate_web", static_folder=None)
    app.add_url_rule("/api/v1/forgotten", view_func=requires(Permission.PUBLIC)(lambda: ""), endpoint="forgotten")
    with pytest.raises(UndescribedError, match="/api/v1/forgotten"):
        document(app.url_map.iter_rules(), app.view_functions)
