"""A real OpenID Connect provider for tests (npm's oidc-provider), and a user who signs in there."""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
from tidegate_cluster import locks, settings
from tidegate_cluster.pki import Certificate

from support.servers import Server, ServerError, answers, ensure_programs

CLIENT_SECRET = "a secret between the two of them"
FOLDER = Path(__file__).parent / "oidc"
PACKAGES = ("package.json", "package-lock.json")


def _program(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found else None


def _modules() -> Path:
    """What package-lock.json names, installed once a machine."""
    ensure_programs({"nodejs": lambda: _program("node"), "npm": lambda: _program("npm")})
    found = settings.from_environment()
    content = b"".join((FOLDER / name).read_bytes() for name in PACKAGES)
    folder = found.cache / f"oidc-{hashlib.sha256(content).hexdigest()[:12]}"
    with locks.locked(found.locks / "oidc.lock", waiting_for="another installation of the OpenID provider"):
        if folder.exists():
            return folder / "node_modules"
        half = folder.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        for name in PACKAGES:
            shutil.copy(FOLDER / name, half)
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=half, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerError(f"npm ci failed: {done.stderr.strip()[-500:]}")
        half.rename(folder)
    return folder / "node_modules"


class OidcProvider(Server):
    """The provider, with its people by the name that they sign in with."""

    name = "oidc"

    def __init__(
        self,
        people: dict[str, dict[str, object]],
        *,
        refresh: bool = False,
        certificate: Certificate | None = None,
        authority: Path | None = None,
    ) -> None:
        super().__init__()
        self._people = dict(people)
        self._refresh = refresh
        self._certificate = certificate
        self._authority = authority
        """Whom a user's browser trusts."""

    @property
    def discovery_url(self) -> str:
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://127.0.0.1:{self.port}/.well-known/openid-configuration"

    def prepare(self) -> None:
        """The provider beside its modules: node looks for them where the program lies."""
        self._tell()
        shutil.copy(FOLDER / "provider.mjs", self.folder)
        (self.folder / "node_modules").symlink_to(_modules())

    def environment(self) -> dict[str, str]:
        shown = self._certificate
        tls = {"CERTIFICATE": str(shown.certificate), "CERTIFICATE_KEY": str(shown.key)} if shown else {}
        return (
            os.environ
            | tls
            | {
                "PORT": str(self.port),
                "PEOPLE_FILE": str(self.folder / "people.json"),
                "REFRESH": "yes" if self._refresh else "no",
                "CLIENT_SECRET": CLIENT_SECRET,
            }
        )

    def change(self, name: str, **claims: object) -> None:
        """Report something else of a user from now on."""
        self._people[name] = self._people[name] | claims
        self._tell()

    def remove(self, name: str) -> None:
        """Stop knowing a user."""
        del self._people[name]
        self._tell()

    def _tell(self) -> None:
        written = self.folder / "people.new"
        written.write_text(json.dumps(self._people))
        written.replace(self.folder / "people.json")

    def command(self) -> list[str]:
        return ["node", str(self.folder / "provider.mjs")]

    def ready(self) -> bool:
        return answers(self.port)

    def sign_in(self, url: str, *, name: str) -> str:
        """Follow the way that our app sends people, as this person; the URL that the provider sends them back to."""
        with requests.Session() as browser:
            browser.trust_env = False
            browser.verify = str(self._authority) if self._authority else True
            answer = self._follow(browser, url)
            for form in ({"prompt": "login", "login": name, "password": "any"}, {"prompt": "consent"}):
                action = re.search(r'action="([^"]+)"', answer.text)
                assert action is not None, answer.text
                posted = browser.post(
                    urljoin(answer.url, action.group(1)), data=form, allow_redirects=False, timeout=10
                )
                answer = self._follow(browser, urljoin(answer.url, posted.headers["Location"]))
                if answer.is_redirect:
                    break
            return answer.headers["Location"]

    def _follow(self, browser: requests.Session, url: str) -> requests.Response:
        """Go on until a page, or a way back to our app."""
        while True:
            answer = browser.get(url, allow_redirects=False, timeout=60)
            if not answer.is_redirect:
                return answer
            url = urljoin(url, answer.headers["Location"])
            if urlsplit(url).port != self.port:
                return answer
