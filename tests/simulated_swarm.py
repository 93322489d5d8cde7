"""A Swarm of many hosts as far as the reconciler can see one: the engine's API on a socket, without an engine.

For measuring and counting what a pass does with more dynos than a machine can run. What is created runs at once, host
after host. Bodies are as long as the engine's, since reading them is most of the work.
"""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import cycle
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

MOMENT = "2026-11-26T00:00:00.123456789Z"
VERSION = {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.10.24"}
MEMORY = 16 << 30


@dataclass
class Cluster:
    """Hosts, services with one task each, secrets; ``calls`` counts requests by method and the thing asked for."""

    address_label: str
    hosts: int
    services: dict[str, bytes] = field(default_factory=dict)
    tasks: dict[str, bytes] = field(default_factory=dict)
    secrets: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """All hosts are workers that dynos may be placed on."""
        names = [f"host-{number}" for number in range(1, self.hosts + 1)]
        self._nodes = json.dumps([self._node(number, name) for number, name in enumerate(names)]).encode()
        self._next_host = cycle(names)

    def answer(self, method: str, path: str, query: Mapping[str, list[str]], body: Any) -> tuple[int, bytes]:
        """Status and body of one request."""
        noun, _, rest = path.partition("/")
        self.calls[f"{method} {noun}{'/create' if rest == 'create' else ''}"] += 1
        match (method, noun, rest):
            case ("GET", "version", _):
                return 200, json.dumps(VERSION).encode()
            case ("GET", "nodes", ""):
                return 200, self._nodes
            case ("GET", "services", ""):
                return 200, _list(self.services.values())
            case ("GET", "tasks", ""):
                return 200, _list(self.tasks.values())
            case ("GET", "secrets", ""):
                names = json.loads(query.get("filters", ["{}"])[0]).get("name", {})
                found = [one for one in self.secrets.values() if not names or one["Spec"]["Name"] in names]
                return 200, json.dumps(found).encode()
            case ("POST", "secrets", "create"):
                self.secrets[uuid.uuid4().hex] = made = {"ID": uuid.uuid4().hex, "Spec": body}
                return 201, json.dumps({"ID": made["ID"]}).encode()
            case ("POST", "services", "create"):
                return 201, json.dumps({"ID": self._create(body)}).encode()
            case ("DELETE", "services", _):
                self.services.pop(rest, None)
                self.tasks.pop(rest, None)
                return 200, b""
        return 501, json.dumps({"message": f"the simulation has no {method} {path}"}).encode()

    def _create(self, spec: dict[str, Any]) -> str:
        service_id, host = uuid.uuid4().hex[:25], next(self._next_host)
        ports = spec["EndpointSpec"].get("Ports") or []
        stamps = {"Version": {"Index": 1}, "CreatedAt": MOMENT, "UpdatedAt": MOMENT}
        endpoint = {"Spec": spec["EndpointSpec"], "Ports": ports}
        service = {"ID": service_id, **stamps, "Spec": spec, "Endpoint": endpoint}
        status = {
            "Timestamp": MOMENT,
            "State": "running",
            "Message": "started",
            "ContainerStatus": {"ContainerID": uuid.uuid4().hex * 2, "PID": 4711, "ExitCode": 0},
            "PortStatus": {"Ports": ports},
        }
        network = {"ID": uuid.uuid4().hex[:25], **stamps, "Spec": {"Name": "dynos", "Scope": "swarm"}}
        task = {
            "ID": uuid.uuid4().hex[:25],
            **stamps,
            "Labels": {},
            "Spec": spec["TaskTemplate"],
            "ServiceID": service_id,
            "Slot": 1,
            "NodeID": host,
            "Status": status,
            "DesiredState": "running",
            "NetworksAttachments": [{"Network": network, "Addresses": ["172.29.0.7/20"]}],
        }
        self.services[service_id], self.tasks[service_id] = json.dumps(service).encode(), json.dumps(task).encode()
        return service_id

    def _node(self, number: int, name: str) -> dict[str, Any]:
        return {
            "ID": name,
            "Version": {"Index": 1},
            "CreatedAt": MOMENT,
            "UpdatedAt": MOMENT,
            "Spec": {
                "Role": "worker",
                "Availability": "active",
                "Labels": {self.address_label: f"10.0.0.{number + 1}"},
            },
            "Description": {"Hostname": name, "Resources": {"NanoCPUs": 4_000_000_000, "MemoryBytes": MEMORY}},
            "Status": {"State": "ready", "Addr": f"10.0.0.{number + 1}"},
        }


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True
    cluster: Cluster


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle_one_request(self) -> None:
        self.client_address = ("", 0)  # a Unix socket has none
        super().handle_one_request()

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        path = parts.path.removeprefix(f"/v{VERSION['ApiVersion']}").strip("/")
        status, answer = self.server.cluster.answer(self.command, path, parse_qs(parts.query), body)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = do_DELETE = _serve  # noqa: N815 the names that the library looks for


@contextmanager
def serving(cluster: Cluster, socket: Path) -> Iterator[str]:
    """Answer at ``socket`` for the length of the block; yields the engine's address."""
    with _Server(str(socket), _Handler) as server:
        server.cluster = cluster
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"unix://{socket}"
        finally:
            server.shutdown()
            thread.join()


def _list(values: Any) -> bytes:
    return b"[" + b",".join(values) + b"]"
