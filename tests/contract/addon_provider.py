"""An add-on provider of the tests: a real HTTP server on the loopback that speaks the Partner API and remembers."""

import base64
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ID = "heroku-redis"
PASSWORD = "password-of-the-provider"
MANIFEST: dict[str, Any] = {
    "id": ID,
    "name": "Key-Value Store",
    "api": {
        "config_vars": ["REDIS_URL", "REDIS_TLS_URL"],
        "config_vars_prefix": "REDIS",
        "password": PASSWORD,
        "requires": ["syslog_drain"],
        "version": "3",
    },
    "plans": [
        {"name": "mini", "description": "25 MB", "price": {"cents": 300, "unit": "month"}, "default": True},
        {"name": "premium-0", "human_name": "Premium 0", "price": {"cents": 1500, "unit": "month"}},
    ],
}

Reply = tuple[int, Any]
"""Status and JSON body (bytes are sent as they are)."""


class ProviderServer:
    """Answers as it is told to; by default provisions at once. Knows which resources it has, by uuid."""

    def __init__(self, base: str = "/heroku/resources") -> None:
        self.base = base
        self.requests: list[tuple[str, str, dict[str, Any]]] = []
        self.accepts: list[str] = []
        self.resources: dict[str, str] = {}
        self.replies: list[Reply | Callable[[], Reply]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{self.base}"

    @property
    def manifest(self) -> dict[str, Any]:
        return {**MANIFEST, "api": {**MANIFEST["api"], "production": {"base_url": self.url}}}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def methods(self) -> list[str]:
        return [method for method, _, _ in self.requests]

    def reply(self, method: str, path: str, body: dict[str, Any]) -> Reply:
        self.requests.append((method, path.removeprefix(self.base), body))
        if self.replies:
            told = self.replies.pop(0)
            return told() if callable(told) else told
        return self.work(method, path, body)

    def work(self, method: str, path: str, body: Mapping[str, Any]) -> Reply:
        """Do as asked, once: the same uuid again makes nothing new."""
        uuid = body.get("uuid") or path.rpartition("/")[2]
        if method == "DELETE":
            return (204, None) if self.resources.pop(uuid, None) else (410, {"id": "gone"})
        self.resources[uuid] = body["plan"]
        return 200, {"id": uuid, "config": self.config(uuid), "message": f"Your {body['plan']} is ready"}

    def config(self, uuid: str) -> dict[str, str]:
        return {"REDIS_URL": f"redis://{uuid}/{self.resources[uuid]}", "REDIS_TLS_URL": f"rediss://{uuid}"}


def _handler(provider: ProviderServer) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{ID}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.answer()

        def do_PUT(self) -> None:
            self.answer()

        def do_DELETE(self) -> None:
            self.answer()

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            provider.accepts.append(self.headers["Accept"])
            if self.headers["Authorization"] != expected:
                status, content = 401, b"{}"
            else:
                status, found = provider.reply(self.command, self.path, json.loads(body) if body else {})
                content = found if isinstance(found, bytes) else b"" if found is None else json.dumps(found).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
