"""An API in a process of its own, which a test can kill: ``python3 -m tests.contract.api_process PORT``."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from dynoform.api.server import Server, server_configuration
from dynoform.api.services import Services
from dynoform.api.wake import Wakers
from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from tests.postgres import free_port

ROOT = Path(__file__).parents[2]


@contextmanager
def started(configuration: Configuration) -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """The process and its URL; killed at the end of the block, if it is not dead by then."""
    port = free_port()
    settings = {
        "DYNOFORM_DATABASE": configuration.database,
        "DYNOFORM_SECRETS": str(configuration.secrets),
        "DYNOFORM_SOURCES": str(configuration.sources),
        "DYNOFORM_REPOSITORIES": str(configuration.repositories),
        "DYNOFORM_PLATFORM_ADDRESS": configuration.platform_address,
    }
    command = [sys.executable, "-m", "tests.contract.api_process", str(port)]
    with subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(process, url)
            yield process, url
        finally:
            process.kill()


def _wait(process: "subprocess.Popen[bytes]", url: str) -> None:
    deadline = time.monotonic() + 120
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.get(f"{url}/health").raise_for_status()
            except httpx.HTTPError:
                time.sleep(0.05)
            else:
                return
    raise AssertionError("the API does not answer")


def main(port: int) -> None:
    """Serve until the end."""
    configuration, journal = Configuration.from_environment(), Journal("api")
    store, vault = Store(configuration, "api"), Vault(configuration.secret("encryption_key"))
    services = Services(configuration, store, vault, LogplexClient(configuration), journal, Wakers(store))
    Server(services, server_configuration(services, "127.0.0.1", port)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
