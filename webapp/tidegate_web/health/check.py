"""``tidegate-web check``, which `helm test` runs: asks every part of an installation, and names what is wrong."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import urllib3

from tidegate_web.health.dependencies import Dependency, dependencies
from tidegate_web.services import Services

PAUSE_SECONDS: Final = 2.0
ANSWER_SECONDS: Final = 5.0


class CheckFailedError(Exception):
    """Parts of the installation don't work; the message names them."""


def check(
    made: Services,
    *,
    addresses: Mapping[str, str],
    seconds: float,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until all is up. Raises CheckFailedError after `seconds`. `addresses`: URLs by name that have to answer anything over HTTP."""
    until = monotonic() + seconds
    while True:
        found = [*dependencies(made), *_answering(addresses)]
        wrong = [one for one in found if one.status != "up"]
        if not wrong or monotonic() >= until:
            break
        sleep(PAUSE_SECONDS)
    width = max(len(one.name) for one in found)
    for one in found:
        sys.stdout.write(f"{one.name:{width}}  {one.status:8}  {one.detail}\n")
    if wrong:
        raise CheckFailedError("; ".join(f"{one.name} is {one.status}: {one.detail}" for one in wrong))


def _answering(addresses: Mapping[str, str]) -> Iterator[Dependency]:
    for name, url in addresses.items():
        try:
            code = urllib3.request("GET", url, timeout=ANSWER_SECONDS, retries=False).status
        except urllib3.exceptions.HTTPError as error:
            yield Dependency(name=name, status="down", detail=f"{url} doesn't answer: {error}")
        else:
            yield Dependency(name=name, status="down" if code >= 500 else "up", detail=f"{url} answers {code}")
