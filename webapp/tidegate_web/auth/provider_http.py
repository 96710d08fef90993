"""How sign-in providers are asked: with authorities that the settings name beside the usual ones, also through a proxy.

requests takes HTTP_PROXY, HTTPS_PROXY and NO_PROXY from the environment by itself.
"""

from pathlib import Path
from typing import Any

from authlib.integrations.flask_client import FlaskOAuth2App, OAuth  # type: ignore[import-untyped]
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]
from requests.adapters import HTTPAdapter

from tidegate_web.shared.trust import tls_context


class TrustingAdapter(HTTPAdapter):
    """Trusts the authorities of a file too. requests adds its own list to the context."""

    def __init__(self, ca_file: Path) -> None:
        self._context = tls_context(ca_file)
        super().__init__()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, ssl_context=self._context, **options)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, ssl_context=self._context, proxy_ssl_context=self._context, **options)


class ProviderSession(OAuth2Session):  # type: ignore[misc]
    """One exchange with a provider: its description, its keys, a token, or claims."""

    def __init__(self, *arguments: Any, ca_file: Path | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if ca_file is not None:
            self.mount("https://", TrustingAdapter(ca_file))


class ProviderClient(FlaskOAuth2App):  # type: ignore[misc]
    """Authlib's client with our sessions, which get `client_kwargs`."""

    client_cls = ProviderSession


class ProviderRegistry(OAuth):  # type: ignore[misc]
    """Authlib's registry of our clients."""

    oauth2_client_cls = ProviderClient
