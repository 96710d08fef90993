"""Ways into the web app: the login that is kept, and its pages."""

import os
import sys
import webbrowser
from urllib.parse import urlsplit

import click

from tidegate_cli import completing, output, stored_login
from tidegate_cli.backends import api
from tidegate_cli.backends.base import Backend
from tidegate_cli.errors import CommandError
from tidegate_cli.options import connected
from tidegate_cli.stored_login import Login

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@click.command("login")
@click.argument("url")
@click.option("-n", "--namespace", "--project", "project", metavar="NAME", help="The project to work in; else the key's own.")  # fmt: skip
def login(url: str, project: str | None) -> None:
    """Keep the address URL of the web app and an API key for the commands to come.

    The key is asked for, or read from stdin or TIDEGATE_API_KEY; it isn't taken as an argument, which others could see. It is
    tried before it is kept, in a file that only you can read.
    """
    url = api.checked_url(url)
    key = os.environ.get("TIDEGATE_API_KEY") or _ask_key()
    if not key.isascii() or not key.isprintable() or not key or " " in key:
        raise CommandError("this is no key: it begins with tg_, and a project's settings make one")
    found = api.projects(api.connect_http(url=url, key=key), url=url)
    if project is not None and project not in found:
        raise CommandError(f"the key has no role in {project}: it has one in {', '.join(found) or 'no project'}")
    chosen = project or (found[0] if len(found) == 1 else None)
    parts = urlsplit(url)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        output.say(f"warning: {url} is not https, the key can be read on the way")
    file = stored_login.path(os.environ)
    stored_login.write(file, Login(url=url, key=key, project=chosen))
    output.say(f"logged in to {url}" + (f", project {chosen}" if chosen else "; name a project with -n"))


def _ask_key() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True, err=True)).strip()
    return sys.stdin.readline().strip()


@click.command("logout")
def logout() -> None:
    """Forget the login. The key stays good: delete it in the project's settings."""
    gone = stored_login.forget(stored_login.path(os.environ))
    output.say("logged out" if gone else "there was no login")


@click.command("open")
@click.argument("run", required=False, shell_complete=completing.runs)
@click.option("--print", "only_print", is_flag=True, help="Print the address alone.")
@connected
def open_page(backend: Backend, *, run: str | None, only_print: bool) -> None:
    """Open the dashboard in a browser, at RUN or at the project's runs."""
    if backend.dashboard is None:
        raise CommandError("the dashboard's address isn't known: tidegate login URL")
    page = f"{backend.dashboard}/projects/{backend.project}/runs"
    if run is not None:
        page += f"/{backend.get_run(run)['uid']}"
    output.console().out(page, highlight=False)
    if not only_print and not webbrowser.open(page):
        output.say("no browser was found: open it yourself")
