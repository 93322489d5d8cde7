"""A real docker-registry behind the API, and what Docker's engine and the CLI do with it; test modules import these."""

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from dynoform.api.services import Services
from dynoform.domain.images import MANIFEST
from dynoform.store.tables import Account
from tests import registry as real
from tests.contract.conftest import OPERATOR_KEY, PLAIN, serve

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def services(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The API's services, with a registry that is there."""
    if real.binary() is None:
        pytest.skip("no docker-registry, and no apt-get that could bring Debian's")
    with real.running(tmp_path_factory.mktemp("registry"), services.configuration.secrets) as port:
        yield replace(services, configuration=replace(services.configuration, registry_port=port))


@pytest.fixture(scope="module")
def address(services: Services) -> Iterator[str]:
    """URL of an API that works with that registry."""
    with serve(services) as url:
        yield url


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def docker(address: str, token: str = OPERATOR_KEY) -> httpx.Client:
    """A client that signs in as ``docker login`` does."""
    login = base64.b64encode(f"_:{token}".encode()).decode()
    headers = {"Authorization": f"Basic {login}"}
    return httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False, verify=PLAIN)


@pytest.fixture
def engine(address: str, operator: Account) -> Iterator[httpx.Client]:
    with docker(address) as made:
        yield made


@pytest.fixture
def other_engine(address: str, stranger: httpx.Client) -> Iterator[httpx.Client]:
    with docker(address, stranger.headers["Authorization"].removeprefix("Bearer ")) as made:
        yield made


def push_blob(engine: httpx.Client, name: str, data: bytes, pieces: int = 1) -> str:
    """Upload in ``pieces`` chunks, each found by the Location of the answer before, as the engine does."""
    began = engine.post(f"/v2/{name}/blobs/uploads/")
    assert began.status_code == 202, began.text
    place = began.headers["Location"]
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        chunk = data[start : start + size]
        headers = {"Content-Type": "application/octet-stream", "Content-Range": f"{start}-{start + len(chunk) - 1}"}
        answer = engine.patch(place, content=chunk, headers=headers)
        assert (answer.status_code, answer.headers["Range"]) == (202, f"0-{start + len(chunk) - 1}"), answer.text
        assert answer.headers["Location"].startswith(f"/v2/{name}/blobs/uploads/")
        place = answer.headers["Location"]
    digest = digest_of(data)
    done = engine.put(httpx.URL(place).copy_merge_params({"digest": digest}))
    assert (done.status_code, done.headers["Docker-Content-Digest"]) == (201, digest), done.text
    assert done.headers["Location"] == f"/v2/{name}/blobs/{digest}"
    return digest


def push(
    engine: httpx.Client, name: str, run: dict[str, Any] | None = None, tag: str = "latest", kind: str = MANIFEST
) -> tuple[str, str]:
    """Push an image with one layer; returns (manifest's digest, image id)."""
    layer = os.urandom(1000)
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": run or {"Cmd": ["./serve"]}}).encode()
    push_blob(engine, name, layer)
    push_blob(engine, name, config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": "application/json", "size": len(config), "digest": digest_of(config)},
        "layers": [{"mediaType": "application/x", "size": len(layer), "digest": digest_of(layer)}],
    }
    answer = put_manifest(engine, name, json.dumps(manifest).encode(), tag, kind)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["Docker-Content-Digest"]), digest_of(config)


def put_manifest(engine: httpx.Client, name: str, body: bytes, tag: str, kind: str) -> httpx.Response:
    return engine.put(f"/v2/{name}/manifests/{tag}", content=body, headers={"Content-Type": kind})


def error_of(answer: httpx.Response) -> str:
    (error,) = answer.json()["errors"]
    assert set(error) == {"code", "message", "detail"}
    assert error["message"]
    return str(error["code"])


def release(client: httpx.Client, app: str, *updates: dict[str, object]) -> httpx.Response:
    headers = {"Accept": "application/vnd.heroku+json; version=3.docker-releases"}
    return client.patch(f"/apps/{app}/formation", json={"updates": list(updates)}, headers=headers)


def update(process_type: str, image: str | None) -> dict[str, object]:
    return {"type": process_type, "docker_image": image}


def slug_of(client: httpx.Client, app: str) -> dict[str, Any]:
    current = client.get(f"/apps/{app}/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
    return dict(client.get(f"/apps/{app}/slugs/{current['slug']['id']}").json())
