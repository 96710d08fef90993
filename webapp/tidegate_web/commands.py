"""``tidegate-web serve | live | all | mirror | migrate | create-admin | make-secrets |
check``: one image, one program, a process each."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence

import structlog
from pydantic import ValidationError
from pydantic_settings import SettingsError
from sqlalchemy.exc import SQLAlchemyError

from tidegate_web.app import make_services
from tidegate_web.auth.admin import AdminSettingsError
from tidegate_web.cluster.client import Cluster
from tidegate_web.cluster.errors import ClusterError, NoClusterError
from tidegate_web.cluster.secrets import SecretKey, make_missing
from tidegate_web.health.check import CheckFailedError, check
from tidegate_web.health.probes import ProbeServer, SchemaCheck, make_registry
from tidegate_web.health.store_metrics import StoreMetrics
from tidegate_web.install import bring_up_to_date, make_admin
from tidegate_web.mirror.process import Mirror
from tidegate_web.server import serve
from tidegate_web.serving import json_logs
from tidegate_web.settings import PREFIX, WebSettings
from tidegate_web.store import pooler, schema
from tidegate_web.store.engine import CONNECT_SECONDS, make_engine
from tidegate_web.store.pooler import PoolerError
from tidegate_web.store.schema import PostgresUnavailableError

log = structlog.stdlib.get_logger("tidegate_web")


def run_serve(settings: WebSettings) -> None:

    serve(settings, web=True, live=False, name="web")


def run_live(settings: WebSettings) -> None:

    serve(settings, web=False, live=True, name="live")


def run_all(settings: WebSettings) -> None:

    serve(settings, web=True, live=True, name="web")


def run_mirror(settings: WebSettings) -> None:

    made = make_services(settings, name="mirror")
    registry = make_registry()
    stores = StoreMetrics(registry=registry, engine=made.engine, redis=made.redis)
    mirror = Mirror(made, registry=registry)
    probes = ProbeServer(
        host=settings.host,
        port=settings.metrics_port,
        registry=registry,
        healthy=mirror.trouble,
        ready=SchemaCheck(made.engine),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: mirror.stop())
    probes.start()
    stores.start()
    if not mirror.run():
        # No exit waits for a thread that hangs; the kubelet starts another process.
        logging.shutdown()
        os._exit(1)
    probes.stop()
    stores.stop()
    made.engine.dispose()
    made.direct.dispose()


def run_migrate(settings: WebSettings) -> None:

    engine = make_engine(settings, name="migrate", direct=True)

    schema.wait_for_postgres(engine, seconds=settings.migrate_wait_seconds)
    before, after = bring_up_to_date(engine, settings)
    log.info("schema", before=before, after=after)
    engine.dispose()


def run_create_admin(settings: WebSettings) -> None:

    engine = make_engine(settings, name="create-admin", direct=True)
    with engine.begin() as connection:
        make_admin(connection, settings)
    engine.dispose()


def run_make_secrets(settings: WebSettings) -> None:

    wanted = [SecretKey.parse(text) for text in settings.generated_secrets]
    made = make_missing(Cluster.connect(settings.kubeconfig), settings.release_namespace, wanted)
    log.info("secrets", made=made)


def run_check(settings: WebSettings) -> None:

    made = make_services(settings, name="check")
    addresses = dict(one.split("=", 1) for one in settings.check_addresses)
    check(made, addresses=addresses, seconds=settings.check_seconds)


COMMANDS: dict[str, tuple[Callable[[WebSettings], None], str]] = {
    "serve": (run_serve, "pages and API"),
    "live": (run_live, "streams of live updates"),
    "all": (run_all, "pages, API and streams in one process, for small installations"),
    "mirror": (run_mirror, "keep every run and its logs in Postgres"),
    "migrate": (run_migrate, "bring the database's schema up to date, and make the first admin"),
    "create-admin": (run_create_admin, "make the admin that the settings name"),
    "check": (run_check, "ask every part of the installation, and name what is wrong"),
    "make-secrets": (run_make_secrets, "make the Secrets of the release that are missing"),
}


NEED_SESSION = ("mirror", "migrate", "create-admin")
"""Commands that hold locks in Postgres or change its schema."""
SERVE = ("serve", "live", "all")


def _complaints(error: ValidationError) -> str:
    return "; ".join(
        f"{PREFIX}{'_'.join(str(part) for part in item['loc']).upper() or '…'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; what can't be done is one line on standard error."""
    parser = argparse.ArgumentParser(prog="tidegate-web", description="The web app of Tidegate.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text)
    chosen = parser.parse_args(arguments).command

    try:
        settings = WebSettings()
        json_logs.configure(settings.log_level)
        direct = bool(settings.database_direct_url)
        if chosen in NEED_SESSION or (chosen in SERVE and not direct):
            pooler.refuse(settings.direct_sqlalchemy_url, direct=direct, seconds=CONNECT_SECONDS)
        COMMANDS[chosen][0](settings)
    except ValidationError as error:
        message = _complaints(error)
    except SettingsError as error:
        message = str(error.__cause__ or error)
    except SQLAlchemyError as error:
        message = f"Postgres: {str(error).partition(chr(10))[0]}"
    except (
        AdminSettingsError,
        CheckFailedError,
        PoolerError,
        ClusterError,
        NoClusterError,
        PostgresUnavailableError,
        ValueError,
        OSError,
    ) as error:
        message = str(error)
    else:
        return 0
    print(f"tidegate-web: {message}", file=sys.stderr)
    return 1
