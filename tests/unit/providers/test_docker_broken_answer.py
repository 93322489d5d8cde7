"""An engine that ends, or is ended, while it answers."""

import socket
import threading
from collections.abc import Iterator

import pytest

from providers.docker.configuration import Configuration
from providers.docker.engine import Engine
from providers.docker.errors import EngineError

BEGINNING = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'1c\r\n{"stream":"Step 1/9 : FROM"}\r\n'
)


@pytest.fixture
def address() -> Iterator[str]:
    """A server that sends the beginning of a build's output and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(BEGINNING)

        threading.Thread(target=answer, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


def test_a_stream_that_breaks_off_is_told_with_what_to_do(address: str) -> None:
    engine = Engine(Configuration(host=address, ping=False))
    with pytest.raises(EngineError) as caught, engine.api() as client:
        list(client.pull("registry.invalid/image", stream=True, decode=True))
    assert str(caught.value).startswith(f"the Docker engine at {address} broke off its answer (")
    assert str(caught.value).endswith("); see whether it runs, then run 'pulumi up' again")
