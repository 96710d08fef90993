"""Asks OSV (https://osv.dev), the database that collects the advisories of PyPI, npm and others, in one request."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from .components import Component

SERVICE: Final = "https://api.osv.dev"
_MOST: Final = 1000  # queries in one request, by its documentation
_TIMEOUT_SECONDS: Final = 60


class AuditError(Exception):
    """The service gave no answer that says anything about the components."""


def advisories(components: Sequence[Component], *, service: str = SERVICE) -> Mapping[Component, Sequence[str]]:
    """The ids of the advisories of those components that have some."""
    found: dict[Component, list[str]] = {}
    # A page of one component's advisories may have a next: that component is asked for again, with the token of the page.
    waiting: list[tuple[Component, str | None]] = [(component, None) for component in components]
    while waiting:
        asked, waiting = waiting[:_MOST], waiting[_MOST:]
        results = _ask([_query(component, page) for component, page in asked], service=service)
        for (component, _), result in zip(asked, results, strict=True):
            if result.get("vulns"):
                found.setdefault(component, []).extend(one["id"] for one in result["vulns"])
            if result.get("next_page_token"):
                waiting.append((component, result["next_page_token"]))
    return found


def _query(component: Component, page: str | None) -> dict[str, Any]:
    query: dict[str, Any] = {
        "package": {"ecosystem": component.ecosystem, "name": component.name},
        "version": component.version,
    }
    return {**query, "page_token": page} if page else query


def _ask(queries: Sequence[dict[str, Any]], *, service: str) -> Sequence[dict[str, Any]]:
    url = f"{service}/v1/querybatch"
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data=json.dumps({"queries": queries}).encode(), headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
            results: Sequence[dict[str, Any]] = json.loads(answer.read())["results"]
    except OSError as error:
        raise AuditError(f"can't reach {urlsplit(service).netloc}, so nothing was looked up: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AuditError(f"{urlsplit(service).netloc} sent no answer of OSV's API, so nothing was looked up") from error
    if len(results) != len(queries):
        raise AuditError(f"{urlsplit(service).netloc} answered {len(results)} of {len(queries)} queries")
    return results
