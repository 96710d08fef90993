"""A plugin of pytest: a test that is skipped for a reason which isn't named here fails the run.

A skip that is not noticed is a test that is gone. Each reason here is one of the machine, not of the product.
"""

import re
from typing import Final

import pytest

ALLOWED: Final = (
    # The runner is tested with each Python that it supports; a machine has some of them.
    re.compile(r"there is no Python 3\.\d+ on this machine"),
    # `make test` runs as a user who may make no cluster: what needs none is tested.
    re.compile(r"a cluster of name spaces needs root"),
    # So does one that needs a disk or a network of its own.
    re.compile(r"a small disk needs root|losing packets needs root|a Docker engine of our own needs root"),
    # And what needs processes of which one is the first.
    re.compile(r"a name space of processes needs root"),
    # Where Docker answers, the cluster is kind's.
    re.compile(r"kind can't add a node to a cluster"),
)


class Skips:
    """What was skipped, and for no reason that is allowed."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._judge(report.nodeid, report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._judge(report.nodeid, report.longrepr)

    def _judge(self, node: str, why: object) -> None:
        reason = str(why[2]) if isinstance(why, tuple) else str(why)
        if not any(allowed.search(reason) for allowed in ALLOWED):
            self.refused.append(f"{node}: {reason}")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.refused and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.refused:
            terminalreporter.section("skipped without a reason that tests/support/skips.py allows", red=True)
            for line in self.refused:
                terminalreporter.line(line)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Skips(), "tidegate-skips")
