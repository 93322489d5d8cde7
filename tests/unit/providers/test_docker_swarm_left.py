"""Reads after ``docker swarm leave``: what was the swarm's is gone. The engine tells so with 503, not with 404."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from providers.docker.configuration import Configuration
from providers.docker.engine import Engine
from providers.docker.errors import EngineError
from providers.docker.operation import Operation
from providers.docker.resource import Resource
from providers.docker.secret import Secret
from providers.docker.service import Service
from providers.docker.service_config import ServiceConfig

NO_SWARM = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm '
    "and try again."
)
WORKER = (
    "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this "
    "command on a manager node or promote the current node to a manager."
)
"""Both as Docker 20.10 answers."""


class Answers(ThreadingHTTPServer):
    """An engine that answers every request with 503 and the words that it is given."""

    words = ""


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        body = json.dumps({"message": self.server.words}).encode()
        self.send_response(503)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_DELETE = do_GET  # noqa: N815 - the server's names

    def log_message(self, format: str, *arguments: Any) -> None:
        return


@pytest.fixture
def answers() -> Iterator[Answers]:
    server = Answers(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def engine_of(answers: Answers) -> Engine:
    return Engine(Configuration(host=f"tcp://127.0.0.1:{answers.server_address[1]}", ping=False))


def operation() -> Operation:
    return Operation("urn::x", lambda *_, **__: None)


EACH = pytest.mark.parametrize("resource", [Service(), Secret(), ServiceConfig()], ids=lambda one: type(one).__name__)


@EACH
def test_object_of_a_swarm_that_was_left_is_absent(answers: Answers, resource: Resource) -> None:
    answers.words = NO_SWARM
    assert resource.read(operation(), engine_of(answers), "x" * 25, {"name": "a"}) is None
    resource.delete(operation(), engine_of(answers), "x" * 25, {"name": "a"})


@EACH
def test_worker_that_cannot_tell_is_believed_nothing(answers: Answers, resource: Resource) -> None:
    answers.words = WORKER
    with pytest.raises(EngineError, match="Worker nodes can't be used"):
        resource.read(operation(), engine_of(answers), "x" * 25, {"name": "a"})
