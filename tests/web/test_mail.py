"""Mail, through a real SMTP server: invitations, forgotten passwords, and what happens when the server is away."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from support.callers import csrf_token
from support.mail import Mailbox
from support.web import EMAIL, Parts, Stack

NEW_PASSWORD = "a password nobody has guessed"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as made:
        yield made


def link_in(mail: Any) -> str:
    found = re.search(r"http://tidegate\.example\.com(/\S+)", mail.get_content())
    assert found is not None, mail.get_content()
    return found.group(1)


def forgot(parts: Parts, email: str, **options: Any) -> int:
    client = parts.client()
    data = {"email": email, "csrf_token": csrf_token(client.get("/forgot"))}
    return client.post("/forgot", data=data, **options).status_code


def test_an_invitation_is_mailed_and_its_link_shown_to_no_other(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    made: Any = parts.sign_in().post("invitations", {"email": "bob@example.com", "role": "viewer"}).json
    assert made["mailed"] is True
    assert "link" not in made
    mail = mailbox.next()
    assert (mail["To"], mail["From"]) == ("bob@example.com", "tidegate@example.com")
    assert stack.project in str(mail["Subject"])
    assert "bob@example.com" in parts.client().get(link_in(mail)).text


def test_a_forgotten_password_is_reset_by_a_mailed_link(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    assert "/forgot" in parts.client().get("/login").text
    assert forgot(parts, EMAIL) == 200
    path = link_in(mailbox.next())
    client = parts.client()
    answer = client.post(path, data={"password": NEW_PASSWORD, "csrf_token": csrf_token(client.get(path))})
    assert answer.status_code == 303
    parts.sign_in(password=NEW_PASSWORD)


def test_a_link_leads_to_the_public_address_whatever_host_a_request_names(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", **mailbox.settings())
    client = parts.client()
    data = {"email": EMAIL, "csrf_token": csrf_token(client.get("/forgot", headers={"Host": "evil.example"}))}
    client.post("/forgot", data=data, headers={"Host": "evil.example"})
    assert "evil" not in mailbox.next().as_string()


def test_the_form_reveals_no_user_and_fills_no_mailbox(stack: Stack, mailbox: Mailbox) -> None:
    parts = stack.parts("web", forgot_mails=2, **mailbox.settings())
    assert forgot(parts, "nobody@example.com") == 200
    for _ in range(5):
        assert forgot(parts, EMAIL) == 200
    forgot(parts, "nobody@example.com")
    first, second = mailbox.next(), mailbox.next()
    assert {str(first["To"]), str(second["To"])} == {EMAIL}
    assert mailbox.mails == []


def test_no_address_carries_more_headers_into_a_mail(stack: Stack, mailbox: Mailbox) -> None:
    me = stack.parts("web", **mailbox.settings()).sign_in()
    for email in ("a@b\nBcc: c@d", "a@b\r\nX: y", "a@b c@d"):
        assert me.post("invitations", {"email": email, "role": "viewer"}).status_code == 422
    assert mailbox.mails == []
