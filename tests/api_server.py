"""The Platform API in the test's own process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from dynoform.api.server import server_configuration
from dynoform.api.services import Services
from tests.postgres import free_port


@contextmanager
def running(settings: uvicorn.Config) -> Iterator[None]:
    """Run a server for the length of the block."""
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(60)


@contextmanager
def serving(services: Services, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """Run an API without TLS, on a free port unless told; gives its URL. The services' wakers are those of one API."""
    settings = server_configuration(services, host, port or free_port())
    with running(settings):
        yield f"http://{host}:{settings.port}"
