"""The Platform API in the test's own process, on the store and the registry of a ``BuildPlatform``."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import httpx

from dynoform.api.services import Services
from dynoform.api.wake import Wakers
from dynoform.journal import Journal
from dynoform.store.accounts import ensure_operator
from dynoform.store.secrets import Vault
from tests import api_server
from tests.integration.build_platform import BuildPlatform
from tests.integration.dyno_platform import Recorder

KEY = "operator-key-of-the-tests"


@contextmanager
def serving(below: BuildPlatform, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """An API with the platform's store and registry, on the loopback unless told where; yields its URL."""
    vault = Vault(below.configuration.secret("encryption_key"))
    with below.store.transaction() as session:
        ensure_operator(session, "ann@example.com", KEY)
    (repositories := below.folder / "repositories").mkdir()
    configuration = replace(below.configuration, repositories=repositories, sources=below.folder / "sources")
    services = Services(configuration, below.store, vault, Recorder(), Journal("api"), Wakers(below.store))
    with api_server.serving(services, host, port) as url:
        yield url


def client_of(url: str) -> httpx.Client:
    """A client of the operator's, who may do everything."""
    headers = {"Authorization": f"Bearer {KEY}", "Accept": "application/vnd.heroku+json; version=3"}
    return httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)


def upload(client: httpx.Client, tarball: bytes) -> str:
    """Upload a source, as a user's client does; returns its ``get_url``."""
    blob = client.post("/sources").raise_for_status().json()["source_blob"]
    client.put(_path(blob["put_url"]), content=tarball).raise_for_status()
    return str(blob["get_url"])


def push(client: httpx.Client, app: str, tarball: bytes, version: str | None = None) -> str:
    """Upload a source and have it built; returns the build's id."""
    body = {"source_blob": {"url": upload(client, tarball), "version": version}}
    return str(client.post(f"/apps/{app}/builds", json=body).raise_for_status().json()["id"])


def output(client: httpx.Client, app: str, build: str) -> str:
    """All that a build says, to its end."""
    found = client.get(f"/apps/{app}/builds/{build}").raise_for_status().json()
    return client.get(_path(found["output_stream_url"]), timeout=180).raise_for_status().text


def ended(platform: BuildPlatform, client: httpx.Client, app: str, build: str) -> tuple[str, str | None, str]:
    """Status, failure and output of a build, once it has ended."""
    said = output(client, app, build)
    found = platform.wait(uuid.UUID(build))
    return found.status, found.failure, said


def _path(url: str) -> str:
    """An address that the API gave, without the host that it believes to have."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"
