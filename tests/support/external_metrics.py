"""A stand-in of the external metrics API, which autoscalers ask through the apiserver: it adds up a pool's runs in the operator's metrics.

Runs in a pod, with nothing but the standard library.
"""

import json
import os
import re
import ssl
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/apis/external.metrics.k8s.io/v1beta1"
VERSION = "external.metrics.k8s.io/v1beta1"
PORT = 8443
COUNTED = ("tidegate_pool_waiting", "tidegate_pool_busy")


def load(text: str, *, namespace: str, pool: str) -> int:
    """Runs that wait for the pool or are in it, from metrics in Prometheus' text format."""
    samples = re.findall(r'^(\w+)\{namespace="([^"]*)",pool="([^"]*)"\} (\S+)$', text, re.MULTILINE)
    return sum(int(float(value)) for name, *where, value in samples if name in COUNTED and where == [namespace, pool])


class Handler(BaseHTTPRequestHandler):
    """Answers `…/namespaces/NAMESPACE/METRIC?labelSelector=pool=POOL`, whatever the metric is called."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One question."""
        asked = urlsplit(self.path)
        found = re.fullmatch(rf"{API}/namespaces/([^/]+)/([^/]+)", asked.path)
        if found is None:
            self._answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": []})
            return
        namespace, metric = found.groups()
        (selector,) = parse_qs(asked.query)["labelSelector"]
        operators = os.environ["OPERATORS"].split(",")
        texts = [urllib.request.urlopen(f"http://{one}/metrics", timeout=5).read().decode() for one in operators]
        value = sum(load(text, namespace=namespace, pool=selector.removeprefix("pool=")) for text in texts)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        item: dict[str, Any] = {"metricName": metric, "metricLabels": {}, "timestamp": now, "value": str(value)}
        self._answer({"kind": "ExternalMetricValueList", "apiVersion": VERSION, "metadata": {}, "items": [item]})

    def _answer(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
    server = ThreadingHTTPServer(("", PORT), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
