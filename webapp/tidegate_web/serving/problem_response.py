"""A Problem as the answer of a request."""

import json

from flask import Response

from tidegate_web.shared.problems import MEDIA_TYPE, Problem


def problem_response(problem: Problem) -> Response:
    """``application/problem+json`` with the problem's status and headers."""
    response = Response(json.dumps(problem.as_json()), status=problem.status, content_type=MEDIA_TYPE)
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response
