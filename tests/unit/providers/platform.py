"""A small platform over TLS: it keeps what it is told, in the shapes of the Platform API v3, and nothing more.

The real API is met in ``tests/e2e``; here the order of calls and the failures are what matters.
"""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

PAGE = 200
"""How many items of a list come at once, as the real API does it."""


@dataclass
class Platform:
    """State of the platform; ``fails`` makes the next builds fail, ``away`` is how many calls get no answer first.

    ``leaves_after`` is how many calls are answered before it goes away for good.
    """

    url: str = ""
    apps: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    formation: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 0
    sources: list[bytes] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    fails: bool = False
    crashes: bool = False
    release_command: str = ""
    """What becomes of releases by their command: succeeded, failed; empty for none."""
    pending: int = 0
    """How often a build is found not to have ended, its output silent after the first line."""
    breaks: int = 0
    """How often the output of a build that has ended breaks off after the first line."""
    away: int = 0
    leaves_after: int | None = None
    sealed: bool = False
    """Whether it cannot read apps' config vars any more."""
    range: str = ""
    """The header of the last request."""

    def app(self, name: str) -> dict[str, Any]:
        identifier = f"id-of-{name}"
        self.apps[identifier] = {"id": identifier, "name": name, "web_url": f"http://{name}.localhost:8080/"}
        return self.apps[identifier]

    def find(self, key: str) -> dict[str, Any] | None:
        return self.apps.get(key) or next((app for app in self.apps.values() if app["name"] == key), None)

    def answer(self, method: str, parts: list[str], body: bytes) -> tuple[int, Any]:
        document = json.loads(body) if body and method in ("POST", "PATCH") else {}
        if parts == ["sources"]:
            return 201, {"source_blob": {"get_url": f"{self.url}/blob", "put_url": f"{self.url}/blob"}}
        if parts == ["blob"]:
            self.sources.append(body)
            return 200, {}
        if parts == ["apps"]:
            return 201, self.app(document["name"])
        app = self.find(parts[1])
        if app is None:
            return 404, {"id": "not_found", "message": "Couldn't find that app."}
        if len(parts) == 2:
            return 200, self.apps.pop(app["id"]) if method == "DELETE" else app
        if parts[2] == "config-vars" and self.sealed:
            said = "what is kept of x: cannot be read — bring it back"
            return 500, {"id": "sealed_with_another_key", "message": said}
        return 200, getattr(self, parts[2].replace("-", "_"))(document, parts[3:])

    def config_vars(self, document: dict[str, Any], rest: list[str]) -> Any:
        self.config |= document
        self.config = {name: value for name, value in self.config.items() if value is not None}
        return self.config

    def releases(self, document: dict[str, Any], rest: list[str]) -> Any:
        if rest:
            asked = sum(call.endswith(f"/releases/{rest[0]}") for call in self.calls)
            status = "pending" if self.release_command and asked % 2 else self.release_command or "succeeded"
            return {"version": self.version, "status": status, "output_stream_url": f"{self.url}/output"}
        numbers = list(range(1, self.version + 1))
        if "order=desc" in self.range:
            numbers.reverse()
        return [{"version": number, "current": number == self.version} for number in numbers[:PAGE]]

    def builds(self, document: dict[str, Any], rest: list[str]) -> Any:
        if document and not self.fails:
            self.version += 1
            self.formation = self.formation or {"web": {"type": "web", "quantity": 1, "size": "Basic"}}
        if rest and self.pending:
            self.pending -= 1
            rest = []
        status = "failed" if self.fails else "succeeded" if rest else "pending"
        release = {"id": "r1"} if status == "succeeded" else None
        return {"id": "b1", "status": status, "release": release, "output_stream_url": f"{self.url}/output"}

    def dynos(self, document: dict[str, Any], rest: list[str]) -> Any:
        state = "crashed" if self.crashes else "up"
        quantity = self.formation.get("web", {}).get("quantity", 0)
        release = {"version": self.version}
        return [{"name": f"web.{n}", "type": "web", "state": state, "release": release} for n in range(1, quantity + 1)]


def formation(platform: Platform, document: dict[str, Any]) -> Any:
    for update in document.get("updates", []):
        platform.formation[update["type"]] |= update
    return list(platform.formation.values())


def serve(platform: Platform, certificate: Path) -> ThreadingHTTPServer:
    """Serves ``platform`` on a free port of localhost with the certificate and key in one PEM file."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = self.path.strip("/").split("/")
            platform.calls.append(f"{self.command} {self.path}")
            platform.range = self.headers.get("Range", "")
            if platform.leaves_after is not None and len(platform.calls) > platform.leaves_after:
                return self.send(503, b"gone")
            if platform.away:
                platform.away -= 1
                return self.send(503, b"starting")
            if parts == ["output"] and platform.pending:
                return self.stall(b"-----> Python app detected\n")
            if parts == ["output"] and platform.breaks:
                platform.breaks -= 1
                return self.send(200, b"-----> Python app detected\n", more=1)
            if parts == ["output"]:
                return self.send(
                    200, b"-----> Python app detected\n" + (b" !     No Procfile\n" if platform.fails else b"done\n")
                )
            if self.headers["Authorization"] != "Bearer key" and parts != ["blob"]:
                return self.send(401, b'{"id": "unauthorized", "message": "Invalid credentials provided."}')
            if parts[2:] == ["formation"]:
                status, answer = 200, formation(platform, json.loads(body) if body else {})
            else:
                status, answer = platform.answer(self.command, parts, body)
            return self.send(status, json.dumps(answer).encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the server's names

        def send(self, status: int, body: bytes, more: int = 0) -> None:
            """With ``more`` bytes announced than sent it breaks off."""
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + more))
            self.end_headers()
            self.wfile.write(body)

        def stall(self, body: bytes) -> None:
            """Sends less than it announces, and then nothing until the client gives up."""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 1))
            self.end_headers()
            self.wfile.write(body)
            self.rfile.read(1)

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    platform.url = f"https://localhost:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
