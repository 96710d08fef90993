"""logs: one JSON object a line, whichever module logs."""

import json
import subprocess
import sys

SPEAK = """
import logging, structlog
from tidegate_operator.logs import configure_logs
configure_logs(level="INFO", log_format="json")
log = structlog.get_logger("ours")
log.info("hello", run="r")
log.debug("nobody hears this")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it broke")
logging.getLogger("theirs").warning("watch %s", "out")
logging.getLogger("kopf").info("nor this")
"""


def test_our_lines_and_those_of_libraries_have_one_shape() -> None:
    done = subprocess.run([sys.executable, "-c", SPEAK], capture_output=True, text=True, check=True)
    hello, broke, theirs = (json.loads(line) for line in done.stderr.splitlines())
    assert (hello["event"], hello["run"], hello["level"], hello["logger"]) == ("hello", "r", "info", "ours")
    assert (broke["level"], "ZeroDivisionError" in broke["exception"]) == ("error", True)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("watch out", "warning", "theirs")
    assert all("timestamp" in line for line in (hello, broke, theirs))
