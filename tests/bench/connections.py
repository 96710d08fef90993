"""What connected workers cost the operator while nothing happens: memory, and CPU for pings, over TLS.

The dispatch port is the operator's own, in a process of its own and on the operator's event loop. Who the workers are is not asked:
that costs once a connection, and the apiserver.
"""

import asyncio
import json
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.servers import free_port
from tidegate_cluster.pki import Authority

from .figures import ProcessView

SERVER: Final = """
import asyncio, gc, ssl, sys
import uvloop
from tidegate_operator.dispatch.identity import Identity
from tidegate_operator.dispatch.server import DispatchServer
from tidegate_operator.metrics import Metrics
from tidegate_operator.records.pool import WorkerPodRecord

class Identifier:
    def is_there(self, pod_uid):
        return True

    async def claimed_pod(self, token, *, wanted):
        return token

    async def identify(self, token, *, started, wanted):
        pod = WorkerPodRecord(uid=token, namespace="n", name=token, version=1, pool="p", node=None, phase="Running", ready=True,
            deleting=False, container="c", container_started=0.0, ended=None, ended_reason=None, ended_message="", restarts=0,
            disrupted=False, unreachable=False, owner=None, trouble=None)
        return Identity(pod=pod, instance="c", pool=("n", "p"))

class Listener:
    def joined(self, connection, identity, hello): pass
    def heard(self, connection, message): pass
    def left(self, connection): pass

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = DispatchServer(Identifier(), Listener(), context=context, guard=lambda: None, metrics=Metrics(),
        host="127.0.0.1", port=int(sys.argv[3]))
    async with server:
        serving = asyncio.create_task(server.serve())
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        serving.cancel()

uvloop.run(main())
"""


@dataclass(frozen=True, slots=True)
class Idle:
    """What was measured."""

    connections: int
    memory_mb: float
    """More than without them."""
    cpu_percent: float
    """Of a core."""


def measure(*, connections: int, seconds: float, report: Callable[[str], object]) -> Idle:
    """Connect so many workers, and wait."""
    with tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder:
        authority = Authority(directory=Path(folder))
        authority.create()
        issued = authority.issue(name="dispatch", subject="/CN=dispatch", names=["DNS:localhost"])
        port = free_port()
        command = [sys.executable, "-c", SERVER, str(issued.certificate), str(issued.key), str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            report(f"{connections} connected workers for {seconds:.0f} s")
            found = asyncio.run(_measure(ProcessView(process.pid), port=port, connections=connections, seconds=seconds))
            assert process.stdin is not None
            process.stdin.close()
        return found


async def _measure(process: ProcessView, *, port: int, connections: int, seconds: float) -> Idle:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    before, slots = process.memory_mb("VmRSS"), asyncio.Semaphore(16)
    writers: list[asyncio.StreamWriter] = []
    answering: list[asyncio.Task[None]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            if json.loads(line)["type"] == "ping":
                writer.write(b'{"type":"pong"}\n')

    async def connect(i: int) -> None:
        async with slots:
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            hello = {"type": "hello", "protocol": 1, "token": f"t{i}", "secret": "s", "slots": 4, "started": 0}
            writer.write(json.dumps(hello).encode() + b"\n")
            await reader.readline()
            writer.write(b'{"type":"ready"}\n')
        writers.append(writer)
        answering.append(asyncio.create_task(answer(reader, writer)))

    await asyncio.gather(*(connect(i) for i in range(connections)))
    await asyncio.sleep(2)
    cpu, begin = process.cpu_seconds, time.monotonic()
    await asyncio.sleep(seconds)
    used = 100 * (process.cpu_seconds - cpu) / (time.monotonic() - begin)
    memory = process.memory_mb("VmRSS")
    assert before is not None
    assert memory is not None
    for task in answering:
        task.cancel()
    for writer in writers:
        writer.close()
    return Idle(connections=connections, memory_mb=round(memory - before, 1), cpu_percent=round(used, 2))
