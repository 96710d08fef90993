"""Everything an administrator can set, in one place: one class, read from the environment, each setting with its
meaning beside it. The table in docs/web.md is made from these docstrings.
"""

import os
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import make_url
from tidegate_api.run_tokens import parse_keys

from tidegate_web.auth.attempt_limits import SignInLimits
from tidegate_web.auth.groups import GroupRoles
from tidegate_web.shared.archive_bound import ArchiveBound
from tidegate_web.shared.setting_texts import dns_labels, parse_rights
from tidegate_web.shared.trust import check_ca_file
from tidegate_web.store.address import driver_url
from tidegate_web.webhooks.addresses import Network, parse_networks

PREFIX = "TIDEGATE_"


class SettingsFileError(ValueError):
    """A ``TIDEGATE_…_FILE`` variable names a file that can't be read."""


class FileSettingsSource(EnvSettingsSource):
    """Reads ``TIDEGATE_X`` from the file that ``TIDEGATE_X_FILE`` names: how a Secret is mounted into a pod."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if path is None:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").strip(), field_name, False
        except OSError as error:
            raise SettingsFileError(f"{PREFIX}{field_name.upper()}_FILE={path}: {error.strerror}") from error


class WebSettings(BaseSettings):
    """What ``tidegate-web`` reads from its environment (``TIDEGATE_…``, or ``TIDEGATE_…_FILE`` for any of them)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, populate_by_name=True, extra="ignore", use_attribute_docstrings=True
    )

    database_url: str = "postgresql://tidegate@localhost/tidegate"
    """Postgres, as a libpq URL (`postgresql://user:password@host:5432/name?sslmode=require`)."""
    database_password: SecretStr | None = None
    """Password for `DATABASE_URL`, where it isn't written in the URL."""
    database_direct_url: str = ""
    """Postgres itself, where `DATABASE_URL` leads to a pooler that lends connections for a transaction (PgBouncer's
    `pool_mode=transaction`): for locks and migrations. Empty: `DATABASE_URL` leads to Postgres."""
    database_pool_size: int = Field(default=10, ge=2)
    """Connections to Postgres that a process opens at most; they are opened when they are needed, and stay."""
    redis_url: str = "redis://localhost:6379/0"
    """Redis, for live updates, login throttling and the latest progress. Everything goes on without it."""
    redis_password: SecretStr | None = None
    """Password for `REDIS_URL`, where it isn't written in the URL."""
    ca_file: Annotated[Path, AfterValidator(check_ca_file)] | None = None
    """A file of certificates (PEM) of authorities that are trusted beside the system's: of sign-in providers, receivers of webhooks,
    the mail server, Redis (`rediss://`), and Postgres, where `DATABASE_URL` has `sslmode=verify-full` and no `sslrootcert`."""
    run_token_keys: SecretStr = SecretStr("")
    """Keys of the tokens of runs in pools, one a line, which the operator has too: the first signs, each is accepted. Empty: no pool's
    run may call the web app."""
    secret_key: SecretStr = SecretStr("")
    """Signs cookies and CSRF tokens; the same in every web and live process. At least 32 characters."""
    admin_email: str | None = None
    """The first admin, made by `migrate` and `create-admin` when no user has this address yet."""
    admin_password: SecretStr | None = None
    """That admin's first password; an existing user's password is never changed by it."""

    host: str = ""
    """Address to listen on; empty: all addresses, of IPv4 and IPv6."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port of the pages, the API or the streams."""
    internal_port: int = Field(default=8081, ge=1, le=65535)
    """Port of what pods of runs call (`/internal/v1`), served by `serve` and `all`. No Ingress leads to it."""
    internal_tls_folder: Path | None = None
    """A folder with `tls.crt` and `tls.key`, by which that port takes TLS alone; renewed files count from the next connection. Empty: it
    speaks plain HTTP."""
    metrics_port: int = Field(default=9090, ge=0, le=65535)
    """Port of `/healthz`, `/readyz` and `/metrics`, which is never exposed to the outside."""
    threads: int = Field(default=16, ge=2)
    """Requests that `serve` answers at once; for more, add replicas."""
    shutdown_seconds: int = Field(default=20, ge=1)
    """How long a stopping process may take to finish what it has begun."""
    public_url: str = ""
    """Address people use (`https://tidegate.example.com`); with https, or where a trusted proxy says `X-Forwarded-Proto: https`, cookies
    are sent over https alone."""
    trusted_proxies: int = Field(default=0, ge=0)
    """How many proxies in front add `X-Forwarded-For` and `X-Forwarded-Proto`; 0 takes the connection's own address and scheme."""

    namespaces: Annotated[list[str], NoDecode, AfterValidator(dns_labels)] = Field(default_factory=list)
    """The projects, comma-separated; empty: every namespace labelled `tidegate.dev/project=true`."""
    release_namespace: str = ""
    """The namespace that Tidegate itself is in, which is never a project."""
    check_addresses: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Addresses that `check` asks, comma-separated: `name=http://…`."""
    check_seconds: float = Field(default=60.0, ge=0)
    """How long `check` waits until all is up."""
    generated_secrets: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Secrets that `make-secrets` makes in the release's namespace where they are missing, comma-separated: `name/key/length`."""
    project_rights: str = ""
    """Where rights are granted project by project: each service account of `RELEASE_NAMESPACE` and the ClusterRole that the
    mirror binds it to in every project, `account=role, account=role`. Empty: the installation grants them."""
    project_pod_security: Literal["privileged", "baseline", "restricted"] = "baseline"
    """The Pod Security level that the namespaces of new projects enforce."""
    require_baseline: bool = True
    """Whether a `podTemplate` beyond the Pod Security level `baseline` is refused in a project whose namespace enforces less and
    isn't labelled `tidegate.dev/allow-host-access=true`. The operator has the same setting."""
    kubeconfig: Path | None = None
    """A kubeconfig to use; without one the pod's service account, or the user's own kubeconfig outside a pod."""
    operator_token_file: Path | None = None
    """A service account token of audience `tidegate-operator`, shown to the operator when it is asked what a run waits
    for; read each time. Without it the operator isn't asked, and `why` is unknown."""
    operator_lease_namespace: str = "default"
    """Namespace of the operator's Lease and pods."""
    operator_lease_name: str = "tidegate-operator"
    """The Lease by which the operator's leader is found: its holder is the name of a pod."""
    operator_port: int = Field(default=8081, ge=1, le=65535)
    """Port on which the leader says what a run waits for."""
    operator_ca_file: Annotated[Path, AfterValidator(check_ca_file)] | None = None
    """Certificates (PEM) of those who may have signed the operator's, by which it is asked over TLS; empty: over plain HTTP."""
    operator_server_name: str = ""
    """The name in the operator's certificate: it is asked by its pod's address, which no certificate has."""

    session_idle_seconds: int = Field(default=12 * 3600, ge=60)
    """A session that isn't used for so long ends."""
    session_max_seconds: int = Field(default=7 * 86400, ge=60)
    """A session ends after so long, used or not."""
    offline_grace_seconds: int = Field(
        default=900,
        ge=0,
        le=86400,
        validation_alias=AliasChoices("TIDEGATE_OFFLINE_GRACE_SECONDS", "TIDEGATE_HONOUR_SECONDS"),
    )
    """While Postgres is away, sessions and keys that were good so lately are accepted, by what Redis remembers. The former name
    `TIDEGATE_HONOUR_SECONDS` is read as well."""
    link_seconds: int = Field(default=7 * 86400, ge=60)
    """How long the link of an invitation is good, or the one with which a new user sets a password."""
    password_link_seconds: int = Field(default=3600, ge=60)
    """How long a link to choose another password is good."""
    login_attempts: int = Field(default=10, ge=1)
    """Wrong passwords for one address of mail from one client network (an IPv4 address, an IPv6 /64) before each further try waits
    twice as long as the one before; five times as many from everywhere, where the wait grows to 30 s. A device that the account
    was signed in from before has a count of its own."""
    login_network_attempts: int = Field(default=50, ge=1)
    """Wrong passwords from one client network in `LOGIN_WINDOW_SECONDS`, whatever the address of mail; requests for a password link
    likewise."""
    login_attempts_per_minute: int = Field(default=120, ge=1)
    """Wrong passwords from all unknown devices together in a minute; requests for a password link likewise."""
    login_window_seconds: int = Field(default=900, ge=1)
    """How long wrong passwords count, and the longest wait between two tries."""
    forgot_mails: int = Field(default=5, ge=1)
    """Password links that are mailed to one address in `LOGIN_WINDOW_SECONDS`."""
    password_hashes: int = Field(default=2, ge=1)
    """Passwords that a process hashes at once, 64 MiB of memory each; more wait up to 2 s, and then get 503."""
    audit_days: int = Field(default=400, ge=0)
    """Entries of the audit log are deleted after so many days; 0: never."""

    rate_limit_requests: int = Field(default=6000, ge=0)
    """Calls of an API key, and writes of a session, in `RATE_LIMIT_SECONDS`; as many at once after a pause. 0: no limit."""
    rate_limit_seconds: int = Field(default=60, ge=1, le=86400)
    """The time that `RATE_LIMIT_REQUESTS` is for."""

    passwords: bool = True
    """Whether people sign in with passwords; `false` where a sign-in provider does it."""
    oidc_discovery_url: str = ""
    """A sign-in provider that speaks OpenID Connect: its address of `/.well-known/openid-configuration`."""
    oidc_label: str = "Single sign-on"
    """What its button says."""
    oidc_client_id: str = ""
    """Our id there; the callback to register is `PUBLIC_URL/login/oidc/callback` (google, github: likewise)."""
    oidc_client_secret: SecretStr | None = None
    """Our secret there."""
    oidc_scopes: str = "openid email profile"
    """What is asked for; some providers want one more scope to report groups."""
    oidc_groups_claim: str = "groups"
    """The claim that has a person's groups."""
    oidc_group_roles: str = ""
    """Roles by groups: `group=project:role, group=instance-admin`. Memberships so given end with the group. For GitHub the
    groups are the organisations."""
    oidc_recheck_seconds: int = Field(default=3600, ge=60)
    """Where `OIDC_GROUP_ROLES` gives roles: a session through a provider is good for so long, unless the provider gave a refresh token,
    by which the groups are asked for again each time."""
    oidc_sign_up: bool = False
    """Whether every person whom a provider vouches for becomes a user; else only who was made, invited, or has a group with a
    role."""
    oidc_allowed_domains: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Domains of addresses that may sign in through a provider, comma-separated; empty: all."""
    google_client_id: str = ""
    """Our id at Google, which needs no more than this and the secret."""
    google_client_secret: SecretStr | None = None
    """Our secret at Google."""
    github_client_id: str = ""
    """Our id at GitHub, which needs no more than this and the secret."""
    github_client_secret: SecretStr | None = None
    """Our secret at GitHub."""
    github_url: str = "https://github.com"
    """For GitHub Enterprise: its address."""
    github_api_url: str = "https://api.github.com"
    """For GitHub Enterprise: `https://…/api/v3`."""
    smtp_host: str = ""
    """Mail server for invitations and password links; without one an admin of the installation gets the links to pass on."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    """Its port."""
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    """How the connection is encrypted."""
    smtp_user: str = ""
    """User at the mail server; empty: no login."""
    smtp_password: SecretStr | None = None
    """That user's password."""
    smtp_from: str = ""
    """The sender's address; mail needs it, and `PUBLIC_URL`."""

    stream_heartbeat_seconds: float = Field(default=15, gt=0)
    """A comment is sent on quiet streams this often, so that proxies keep them open."""
    stream_recheck_seconds: float = Field(default=60, gt=0)
    """How often a stream looks again whether its user may still read it."""
    stream_queue: int = Field(default=256, ge=1)
    """Events that wait for a slow reader before it is dropped (and comes back by itself)."""
    stream_history: int = Field(default=10_000, ge=1)
    """Events a project keeps in Redis, for readers that come back."""

    progress_seconds: float = Field(default=0.5, ge=0)
    """The progress of an attempt is written at most this often; the last of a burst is written in the end."""

    keep_pods_seconds: int = Field(default=600, ge=0)
    """The Jobs and pods of a finished run go after so long, once its logs are stored."""
    default_ttl_seconds: int = Field(default=86400, ge=0)
    """A finished TaskRun whose status names no TTL is deleted after so long; it stays in the archive."""
    max_finished_runs: int = Field(default=10_000, ge=0)
    """Finished TaskRuns that a namespace keeps; beyond it the oldest archived ones go first."""
    webhook_allow: Annotated[list[str], NoDecode] = Field(default_factory=list)
    """Networks beside the public internet that webhooks may lead to, comma-separated: `10.20.0.0/16`. Without, none that is
    loopback, link-local, private or reserved."""
    log_followers: int = Field(default=128, ge=1)
    """Pods whose logs are followed at once; the others are read when they end."""
    worker_log_followers: int = Field(default=64, ge=1)
    """Workers of pools whose logs are followed at once; the others are read when they end."""
    log_limit_bytes: int = Field(default=10 * 1024 * 1024, ge=1024)
    """What is kept of the logs of one run."""
    project_bytes: int = Field(default=20 * 2**30, ge=0)
    """What the archive keeps for one project, in bytes as they are stored, compressed: logs, results, checkpoints, metadata, and runs
    that are gone from the cluster. Beyond it logs are cut and results refused. 0: no bound."""
    retention_days: int = Field(default=90, ge=0, le=36_500)
    """Archived runs are forgotten so many days after their end, where their project's settings don't say otherwise. 0: never."""
    sweep_seconds: float = Field(default=5, gt=0)
    """How often the mirror looks for runs to delete."""
    prune_seconds: float = Field(default=600, gt=0)
    """How often the mirror looks for archived runs that their projects keep no longer, and makes the months ahead."""
    metrics_by_namespace: bool = True
    """Whether metrics of the archive name projects; off: they are a sum over all, for clusters whose tenants must not learn each
    other's names."""
    migrate_wait_seconds: float = Field(default=300, ge=0)
    """How long `migrate` waits for Postgres to come up."""
    log_level: str = "INFO"
    """Level of this process's own log, JSON lines on standard output."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, FileSettingsSource(settings_cls)

    @field_validator("oidc_group_roles")
    @classmethod
    def _group_roles(cls, value: str) -> str:
        GroupRoles.parse(value)
        return value

    @field_validator("project_rights")
    @classmethod
    def _project_rights(cls, value: str) -> str:
        parse_rights(value)
        return value

    @field_validator("webhook_allow")
    @classmethod
    def _networks(cls, value: list[str]) -> list[str]:
        parse_networks(value)
        return value

    @field_validator(
        "namespaces", "oidc_allowed_domains", "webhook_allow", "generated_secrets", "check_addresses", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("admin_email")
    @classmethod
    def _email(cls, value: str | None) -> str | None:
        value = (value or "").strip().lower()
        if value and "@" not in value:
            raise ValueError("no email address")
        return value or None

    @model_validator(mode="after")
    def _urls(self) -> Self:
        for name, text in (("URL", self.database_url), ("DIRECT_URL", self.database_direct_url)):
            if text and not make_url(text).drivername.startswith(("postgresql", "postgres")):
                raise ValueError(f"TIDEGATE_DATABASE_{name}: only postgresql:// is supported")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL as SQLAlchemy wants it."""
        return self._driver_url(self.database_url)

    @property
    def direct_sqlalchemy_url(self) -> str:
        """That of Postgres itself, past a pooler."""
        return self._driver_url(self.database_direct_url or self.database_url)

    def _driver_url(self, url: str) -> str:
        password = self.database_password.get_secret_value() if self.database_password is not None else None
        return driver_url(url, password=password, ca_file=self.ca_file)

    @property
    def group_roles(self) -> GroupRoles:
        """Roles by groups of the sign-in provider."""
        return GroupRoles.parse(self.oidc_group_roles)

    @property
    def rights_by_project(self) -> dict[str, str]:
        """Service accounts and their ClusterRoles, where rights are granted project by project."""
        return {} if self.namespaces else parse_rights(self.project_rights)

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """Networks beside the public internet that webhooks may lead to."""
        return parse_networks(self.webhook_allow)

    @property
    def archive_bound(self) -> ArchiveBound:
        """What the archive keeps for a project."""
        return ArchiveBound(most=self.project_bytes)

    @property
    def session_idle(self) -> timedelta:
        """A session that isn't used for so long ends."""
        return timedelta(seconds=self.session_idle_seconds)

    @property
    def sign_in_limits(self) -> SignInLimits:
        """How many attempts to sign in are free."""
        return SignInLimits(
            attempts=self.login_attempts,
            network_attempts=self.login_network_attempts,
            attempts_a_minute=self.login_attempts_per_minute,
            forgot_mails=self.forgot_mails,
            window=self.login_window_seconds,
        )

    @property
    def secure_cookies(self) -> bool:
        """True when people come over https."""
        return self.public_url.startswith("https://")

    @property
    def run_token_keys_parsed(self) -> tuple[bytes, ...]:
        """The keys of `run_token_keys`."""
        return parse_keys(self.run_token_keys.get_secret_value())

    def require_secret_key(self) -> str:
        """The key that signs cookies; processes that serve people can't go without."""
        key = self.secret_key.get_secret_value()
        if len(key) < 32:
            raise ValueError("TIDEGATE_SECRET_KEY: set it to at least 32 random characters")
        return key
