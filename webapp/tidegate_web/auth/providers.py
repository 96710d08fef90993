"""The sign-in providers that are set up: any that speaks OpenID Connect, by its discovery URL, with a preset for Google;
and GitHub, which speaks plain OAuth 2 and is asked for the rest.

Authlib does the protocol: state, PKCE, nonce, and the checks of the ID token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from authlib.integrations.base_client import OAuthError  # type: ignore[import-untyped]
from flask import Flask

from tidegate_web.auth.provider_http import ProviderRegistry
from tidegate_web.settings import WebSettings
from tidegate_web.shared.json_types import JsonObject, as_object

GOOGLE_DISCOVERY = "https://accounts.google.com/.well-known/openid-configuration"
SECONDS = 10
"""How long each question to a provider may take."""
A_PAGE, MOST_PAGES = 100, 10
"""Items of a page of GitHub's, which gives no more at once, and how many pages are read."""


class SignInRefusedError(Exception):
    """The provider's answer lets no user in; the message may be shown."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """A user, as a provider vouches for them."""

    subject: str
    email: str
    name: str
    groups: tuple[str, ...] = ()
    refresh_token: str | None = field(default=None, repr=False)
    """With which the provider reports the groups again later; None where it gave none."""


class Client(Protocol):
    """What we use of Authlib's client."""

    def authorize_redirect(self, redirect_uri: str) -> Any: ...
    def authorize_access_token(self) -> JsonObject: ...
    def fetch_access_token(self, *, grant_type: str, refresh_token: str) -> JsonObject: ...
    def userinfo(self, *, token: JsonObject) -> JsonObject: ...
    def get(self, path: str, *, token: JsonObject) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One way in beside passwords."""

    name: str
    """In paths and in `identities`."""
    label: str
    """On the button."""
    client: Client
    groups_claim: str = "groups"
    github: bool = False

    def person(self) -> Person:
        """Whom the callback's code stands for. SignInRefusedError, or what Authlib and requests raise."""
        token = self.client.authorize_access_token()
        return self._from_github(token) if self.github else self._from_claims(token)

    def _from_claims(self, token: JsonObject) -> Person:
        claims = as_object(token.get("userinfo"))
        if not claims.get("sub"):
            raise SignInRefusedError("The provider sent no ID token.")
        if "email" not in claims or self.groups_claim not in claims:
            more = self.client.userinfo(token=token)
            if more.get("sub") != claims["sub"]:
                raise SignInRefusedError("The provider's answers are about two people.")
            claims = {**more, **claims}
        return self._with_refresh(person_of(claims, groups_claim=self.groups_claim), token)

    def again(self, refresh_token: str) -> Person:
        """Whom a refresh token stands for by now. SignInRefusedError, or what Authlib and requests raise."""
        token = self.client.fetch_access_token(grant_type="refresh_token", refresh_token=refresh_token)
        claims = self.client.userinfo(token=token)
        return self._with_refresh(person_of(claims, groups_claim=self.groups_claim), token)

    def _with_refresh(self, person: Person, token: JsonObject) -> Person:
        given = token.get("refresh_token")
        return replace(person, refresh_token=given) if isinstance(given, str) and given else person

    def _from_github(self, token: JsonObject) -> Person:
        user = self._ask("user", token)
        emails = self._ask_all("user/emails", token)
        orgs = self._ask_all("user/orgs", token)
        mine = [each for each in emails if each.get("primary") and each.get("verified")]
        if not mine:
            raise SignInRefusedError("Your GitHub account has no verified address.")
        return Person(
            subject=str(user["id"]),
            email=str(mine[0]["email"]).strip().lower(),
            name=str(user.get("name") or user.get("login") or ""),
            groups=tuple(str(org["login"]) for org in orgs),
        )

    def _ask_all(self, path: str, token: JsonObject) -> list[JsonObject]:
        """A list of GitHub's, which come in pages."""
        found: list[JsonObject] = []
        for number in range(1, MOST_PAGES + 1):
            page = self._ask(f"{path}?per_page={A_PAGE}&page={number}", token)
            found += page
            if len(page) < A_PAGE:
                break
        return found

    def _ask(self, path: str, token: JsonObject) -> Any:
        answer = self.client.get(path, token=token)
        if answer.status_code != 200:
            raise SignInRefusedError(f"GitHub answers {answer.status_code}.")
        return answer.json()


def person_of(claims: Mapping[str, object], *, groups_claim: str) -> Person:
    """The person of OpenID Connect's standard claims. An address that isn't verified proves nothing."""
    email = str(claims.get("email") or "").strip().lower()
    if "@" not in email or claims.get("email_verified") is not True:
        raise SignInRefusedError("The provider doesn't vouch for your email address.")
    given = claims.get(groups_claim)
    groups = given if isinstance(given, list) else [given] if isinstance(given, str) and given else []
    return Person(
        subject=str(claims["sub"]),
        email=email,
        name=str(claims.get("name") or claims.get("preferred_username") or ""),
        groups=tuple(str(group) for group in groups if isinstance(group, str | int)),
    )


def make_providers(app: Flask, settings: WebSettings) -> dict[str, Provider]:
    """Those that the settings name, by name."""
    registry = ProviderRegistry(app)
    found: list[Provider] = []
    openid = [
        (
            "oidc",
            settings.oidc_label,
            settings.oidc_discovery_url,
            settings.oidc_client_id,
            settings.oidc_client_secret,
        ),
        ("google", "Google", GOOGLE_DISCOVERY, settings.google_client_id, settings.google_client_secret),
    ]
    for name, label, url, client_id, secret in openid:
        if not url or not client_id:
            continue
        client = registry.register(
            name,
            client_id=client_id,
            client_secret=secret.get_secret_value() if secret else None,
            server_metadata_url=url,
            code_challenge_method="S256",
            client_kwargs={
                "scope": settings.oidc_scopes if name == "oidc" else "openid email profile",
                "default_timeout": SECONDS,
                "ca_file": settings.ca_file,
            },
        )
        found.append(Provider(name=name, label=label, client=client, groups_claim=settings.oidc_groups_claim))
    if settings.github_client_id:
        secret = settings.github_client_secret
        site, api = settings.github_url.rstrip("/"), settings.github_api_url.rstrip("/")
        client = registry.register(
            "github",
            client_id=settings.github_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            authorize_url=f"{site}/login/oauth/authorize",
            access_token_url=f"{site}/login/oauth/access_token",
            api_base_url=f"{api}/",
            code_challenge_method="S256",
            client_kwargs={
                "scope": "read:user user:email read:org",
                "default_timeout": SECONDS,
                "ca_file": settings.ca_file,
            },
        )
        found.append(Provider(name="github", label="GitHub", client=client, github=True))
    return {provider.name: provider for provider in found}


__all__ = ["OAuthError", "Person", "Provider", "SignInRefusedError", "make_providers", "person_of"]
