"""Rate limits over HTTP: of each key all calls, of each session its writes, reported in headers, never shut by Redis."""

import re

from support.web import Stack

RUN = {"taskRef": {"name": "resize"}}


def test_each_key_has_its_own_share_and_sees_what_is_left(stack: Stack) -> None:
    parts = stack.parts("web", rate_limit_requests=5, rate_limit_seconds=3600)
    first, second = parts.key("operator"), parts.key("viewer")
    answers = [first.get("runs") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    left = [re.fullmatch(r'"default";r=(\d);t=\d+', answer.headers["RateLimit"]) for answer in answers]
    assert [match[1] for match in left if match] == ["4", "3", "2", "1", "0", "0"]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=5;w=3600'}
    refused = answers[-1]
    assert refused.content_type == "application/problem+json"
    assert 0 < int(refused.headers["Retry-After"]) <= 720
    assert second.get("runs").status_code == 200
    # What is refused otherwise counts as well.
    assert [second.post("runs", RUN).status_code for _ in range(5)] == [403] * 4 + [429]


def test_processes_count_together(stack: Stack) -> None:
    settings = {"rate_limit_requests": 4, "rate_limit_seconds": 3600}
    parts, others = stack.parts("web", **settings), stack.parts("web", **settings)
    key = parts.key("viewer")
    elsewhere = others.app.test_client()
    headers = {"Authorization": f"Bearer {key.key}"}
    seen = []
    for _ in range(3):
        seen += [key.get("runs").status_code, elsewhere.get("/api/v1/me", headers=headers).status_code]
    assert seen == [200] * 4 + [429] * 2


def test_people_read_as_they_like_and_write_within_limits(stack: Stack) -> None:
    parts = stack.parts("web", rate_limit_requests=2, rate_limit_seconds=3600)
    me, myself_elsewhere = parts.sign_in(), parts.sign_in()
    assert [me.post("runs", RUN).status_code for _ in range(3)] == [201, 201, 429]
    read = [me.get("runs") for _ in range(5)]
    assert {answer.status_code for answer in read} == {200}
    assert "RateLimit" not in read[0].headers
    assert myself_elsewhere.post("runs", RUN).status_code == 201
    page = me.post("/logout")
    assert page.status_code == 429
    assert page.content_type.startswith("text/html")


def test_without_redis_calls_go_on_and_are_counted_here(stack: Stack) -> None:
    parts = stack.parts("web", rate_limit_requests=3, rate_limit_seconds=3600)
    key = parts.key("operator")
    stack.redis.stop()
    assert [key.post("runs", RUN).status_code for _ in range(4)] == [201, 201, 201, 429]
    stack.redis.start()


def test_without_a_limit_there_are_no_headers(stack: Stack) -> None:
    parts = stack.parts("web", rate_limit_requests=0)
    answer = parts.key("viewer").get("runs")
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers
