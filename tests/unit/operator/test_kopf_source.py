"""How kopf is kept to what it is here for."""

import kopf
from tidegate_operator.watch.kopf_source import configure_kopf


def test_kopf_does_not_have_the_process_killed_after_an_error_that_restarts_it() -> None:
    settings = kopf.OperatorSettings()
    configure_kopf(settings)
    assert settings.process.ultimate_exiting_timeout is None


def test_kopf_lists_page_by_page() -> None:
    settings = kopf.OperatorSettings()
    configure_kopf(settings)
    assert settings.watching.chunk_size == 500
