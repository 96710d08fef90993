"""Settings from the environment and from files."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError
from tidegate_web.settings import SettingsFileError, WebSettings


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_NAMESPACES", "team-a, team-b,")
    assert WebSettings().namespaces == ["team-a", "team-b"]
    monkeypatch.setenv("TIDEGATE_NAMESPACES", "")
    assert WebSettings().namespaces == []


def test_a_password_is_put_into_the_url_whatever_it_is_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("p@ss/w:rd%\n")
    monkeypatch.setenv("TIDEGATE_DATABASE_URL", "postgresql://tidegate@db:5432/tidegate?sslmode=require")
    monkeypatch.setenv("TIDEGATE_DATABASE_PASSWORD_FILE", str(password))
    expected = "postgresql+psycopg://tidegate:p%40ss%2Fw%3Ard%25@db:5432/tidegate?sslmode=require"
    assert WebSettings().sqlalchemy_url == expected


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(WebSettings(secret_key="hush" * 10, admin_password="hush"))


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_SECRET_KEY_FILE", "/nonexistent/key")
    with pytest.raises(SettingsError) as caught:
        WebSettings()
    assert isinstance(caught.value.__cause__, SettingsFileError)
    assert "TIDEGATE_SECRET_KEY_FILE=/nonexistent/key" in str(caught.value.__cause__)


@pytest.mark.parametrize("key", ["", "short"])
def test_the_key_must_be_long(key: str) -> None:
    with pytest.raises(ValueError, match="32"):
        WebSettings(secret_key=key).require_secret_key()


@pytest.mark.parametrize(
    ("name", "value"),
    [("database_url", "mysql://x/y"), ("namespaces", "Upper"), ("admin_email", "nobody"), ("port", -1)],
)
def test_what_makes_no_sense_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError):
        WebSettings(**{name: value})  # type: ignore[arg-type]


def test_cookies_are_secure_behind_https() -> None:
    assert WebSettings(public_url="https://x.example").secure_cookies
    assert not WebSettings(public_url="http://localhost:8080").secure_cookies


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("keep_pods_seconds", 600),
        ("max_finished_runs", 10_000),
        ("retention_days", 90),
        ("project_bytes", 20 * 2**30),
        ("stream_heartbeat_seconds", 15),
        ("stream_recheck_seconds", 60),
    ],
)
def test_defaults_that_others_rely_on(name: str, default: object) -> None:
    assert WebSettings.model_fields[name].default == default


@pytest.mark.parametrize("name", ["TIDEGATE_OFFLINE_GRACE_SECONDS", "TIDEGATE_HONOUR_SECONDS"])
def test_the_grace_while_postgres_is_away_has_a_former_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "60")
    assert WebSettings().offline_grace_seconds == 60
    assert WebSettings(offline_grace_seconds=5).offline_grace_seconds == 5
