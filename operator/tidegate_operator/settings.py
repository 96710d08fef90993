"""Every setting of the operator, in one class; `docs/reference/operator-settings.md` is generated from it."""

import math
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tidegate_operator.records.run import Projects


class OperatorSettings(BaseSettings):
    """Read from environment variables with the prefix TIDEGATE_."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", extra="ignore", frozen=True, env_ignore_empty=True)

    kubeconfig: Path | None = None
    """Kubeconfig to use; default: the pod's service account, else $KUBECONFIG, else ~/.kube/config."""

    namespaces: Annotated[list[str], NoDecode] = []
    """Namespaces to watch, separated by commas; empty: all of them."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port of /healthz, /readyz and /metrics; 0: a free one."""

    host: str = ""
    """Address that the ports listen on; empty: all addresses, of IPv4 and IPv6."""

    why_port: Annotated[int, Field(ge=0, le=65535)] = 8081
    """Port on which the leader answers the web app what a run waits for; 0: a free one."""

    why_callers: Annotated[list[str], NoDecode] = []
    """User names of the service accounts that may ask there, separated by commas; empty: none, and no port."""

    log_level: str = "info"
    """debug, info, warning or error."""

    log_format: str = "json"
    """json, or console for people."""

    lease_name: str = "tidegate-operator"
    """Name of the Lease that one leading replica holds."""

    lease_namespace: str = "default"
    """Namespace of the Lease: the release's own."""

    release_namespace: str = ""
    """The namespace that Tidegate itself is in: no run starts there or in `kube-*`, unless `NAMESPACES` names it."""

    release: str = ""
    """Namespace and name of the release, `namespace/name`: the operator stands back where another release has claimed the same
    namespaces; empty: that isn't looked at."""

    identity: str = ""
    """Holder of the Lease: the pod's name; empty: host name and process id."""

    lease_duration_seconds: Annotated[float, Field(gt=0)] = 15.0
    """Another replica takes the Lease over when it has not been renewed for this long."""

    lease_renew_deadline_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Writes are refused when the last renewal is older than this."""

    lease_retry_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Pause between renewals, and between tries to acquire."""

    dispatch_port: Annotated[int, Field(ge=0, le=65535)] = 8443
    """Port on which the leader takes the connections of pool workers; 0: a free one."""

    dispatch_address: str = ""
    """`host:port` of that port as worker pods reach it; empty: there are no pools."""

    dispatch_secret: str = "tidegate-dispatch"  # noqa: S105 - a Secret's name
    """Secret in the Lease's namespace with the certificate of the dispatch port (`tls.crt`, `tls.key`, `ca.crt`); the operator fills
    an empty one."""

    internal_certificates: Annotated[list[str], NoDecode] = []
    """Certificates for parts of the release that the operator makes, and renews, in Secrets of the Lease's namespace, separated by
    commas: `secret=name|name`. Empty: others make them, or there are none."""

    internal_ca_secret: str = "tidegate-internal-ca"  # noqa: S105 - a Secret's name
    """The Secret there with the authority that signs them."""

    why_tls_secret: str = ""
    """Secret there with the certificate of `WHY_PORT` (`tls.crt`, `tls.key`); empty: it speaks plain HTTP."""

    api_tls_secret: str = ""
    """Secret there with the certificate of the web app at `API_URL`, whose `ca.crt` pods of runs get; empty: they get none."""

    run_token_keys_file: Path | None = None
    """File with the keys that sign the tokens of runs in pools, one a line, the first of which signs; shared with the web app."""

    api_url: str = ""
    """Address of the web app as pods reach it; empty: there is no web app."""

    api_of_projects: bool = False
    """Whether the web app sees projects alone, namespaces labelled `tidegate.dev/project=true`: finished runs elsewhere are
    then deleted here."""

    require_baseline: bool = True
    """Whether a run whose `podTemplate` is beyond the Pod Security level `baseline` is refused in a namespace that enforces less
    and isn't labelled `tidegate.dev/allow-host-access=true`."""

    run_as_user: Annotated[int, Field(ge=-1)] = 65532
    """User, group and fsGroup of task pods; -1: left to the cluster."""

    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] = 86_400
    """How long a finished TaskRun stays when neither it nor its Task says."""

    max_disruptions: Annotated[int, Field(ge=0)] = 10
    """Pods of one run that may be lost to evictions, preemptions and lost nodes before it fails."""

    namespace_limit: Annotated[int | None, Field(ge=1)] = None
    """Runs of one namespace that may go at once, over all its queues; empty: no limit."""

    cluster_limit: Annotated[int | None, Field(ge=1)] = None
    """Runs that may go at once in all namespaces together; empty: no limit."""

    metrics_by_namespace: bool = True
    """Whether metrics name namespaces, queues, tasks and pools; off: they are sums over all, for clusters whose tenants must not
    learn each other's names."""

    sweep_seconds: Annotated[float, Field(gt=0)] = 300.0
    """Pause between two full lists of everything, which find what no event reported."""

    look_seconds: Annotated[float, Field(gt=0)] = 5.0
    """An attempt with no running pod for this long is looked into, and then less and less often, once a minute at last."""

    concurrent_actions: Annotated[int, Field(ge=1)] = 64
    """Requests to the apiserver that may be in flight at once."""

    @field_validator("namespaces", "why_callers", "internal_certificates", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [n.strip() for n in value.split(",") if n.strip()] if isinstance(value, str) else value

    @field_validator("internal_certificates")
    @classmethod
    def _certificates(cls, value: list[str]) -> list[str]:
        for text in value:
            secret, _, names = text.partition("=")
            if not secret or not all(names.split("|")):
                raise ValueError(f"{text!r} is not 'secret=name|name'")
        return value

    @property
    def internal_names(self) -> dict[str, list[str]]:
        """The names of each server whose certificate is made here, by the Secret that it is in."""
        pairs = (text.partition("=") for text in self.internal_certificates)
        return {secret: names.split("|") for secret, _, names in pairs}

    def deletes_due_by(self, namespace: str, projects: Projects | None) -> float:
        """Until when a finished run of a namespace must have been due to be deleted here: without a web app at any time,
        never where its mirror does it. Elsewhere, when projects were listed last: it may be one since then."""
        if not self.api_url:
            return math.inf
        if not self.api_of_projects or projects is None or namespace in projects.names:
            return -math.inf
        return projects.at
