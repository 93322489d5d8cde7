"""Docker's registry API for apps' images, before a real docker-registry: what ``docker push`` and ``pull`` ask for."""

import base64
import hashlib
import json
import os
import socket
import time
import uuid
from pathlib import Path

import httpx
import pytest

from dynoform.api.services import Services
from dynoform.domain import disk
from dynoform.domain.images import MANIFEST, OCI_MANIFEST
from tests.contract.conftest import OPERATOR_KEY
from tests.contract.container_registry import (
    MIB,
    address,
    digest_of,
    engine,
    error_of,
    other_engine,
    push,
    push_blob,
    put_manifest,
    release,
    services,
    update,
)

__all__ = ["address", "engine", "other_engine", "services"]
INDEX = "application/vnd.oci.image.index.v1+json"


def test_login_takes_the_token_as_password_and_nothing_else(nobody: httpx.Client, engine: httpx.Client) -> None:
    asked = nobody.get("/v2/")
    assert (asked.status_code, error_of(asked)) == (401, "UNAUTHORIZED")
    assert asked.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert asked.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert engine.get("/v2/").status_code == 200
    wrong = base64.b64encode(b"_:wrong").decode()
    for path in ("/v2/", "/v2/myapp/web/manifests/latest", "/v2/_catalog"):
        answer = nobody.get(path, headers={"Authorization": f"Basic {wrong}"})
        assert (answer.status_code, error_of(answer)) == (401, "UNAUTHORIZED")


def test_an_image_that_was_pushed_can_be_pulled(engine: httpx.Client, app: str) -> None:
    data = os.urandom(3 * MIB)
    digest = push_blob(engine, f"{app}/web", data, pieces=3)
    head = engine.head(f"/v2/{app}/web/blobs/{digest}")
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(data)))
    assert engine.get(f"/v2/{app}/web/blobs/{digest}").content == data
    part = engine.get(f"/v2/{app}/web/blobs/{digest}", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, data[1000:2000])
    manifest, image = push(engine, f"{app}/web")
    for reference in ("latest", manifest):
        answer = engine.get(f"/v2/{app}/web/manifests/{reference}", headers={"Accept": MANIFEST})
        assert answer.headers["Docker-Content-Digest"] == manifest
        assert answer.headers["Content-Type"] == MANIFEST
        assert (answer.json()["schemaVersion"], answer.json()["config"]["digest"]) == (2, image)
    assert engine.get(f"/v2/{app}/web/tags/list").json() == {"name": f"{app}/web", "tags": ["latest"]}
    same = engine.get(f"/v2/{app}/web/manifests/latest", headers={"If-None-Match": f'"{manifest}"'})
    assert same.status_code == 304


def test_the_cli_reads_an_image_of_the_newer_format_too(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    _, image = push(engine, f"{app}/web", kind=OCI_MANIFEST)
    login = base64.b64encode(f":{OPERATOR_KEY}".encode()).decode()
    headers = {"Authorization": f"Basic {login}", "Accept": MANIFEST}
    answer = client.get(f"/v2/{app}/web/manifests/latest", headers=headers)
    assert (answer.status_code, answer.json()["config"]["digest"]) == (200, image)


def test_an_upload_can_be_looked_at_and_given_up(engine: httpx.Client, app: str) -> None:
    place = engine.post(f"/v2/{app}/web/blobs/uploads/").headers["Location"]
    place = engine.patch(place, content=b"x" * 1000).headers["Location"]
    status = engine.get(place)
    assert (status.status_code, status.headers["Range"]) == (204, "0-999")
    assert engine.delete(place).status_code == 204
    gone = engine.get(place)
    assert (gone.status_code, error_of(gone)) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert "containers/" not in gone.text


def test_an_upload_that_breaks_off_harms_nobody(
    engine: httpx.Client, address: str, app: str, services: Services
) -> None:
    place = engine.post(f"/v2/{app}/web/blobs/uploads/").headers["Location"]
    url = httpx.URL(address)
    with socket.create_connection((url.host, url.port), timeout=60) as broken:
        head = f"PATCH {place} HTTP/1.1\r\nHost: x\r\nAuthorization: {engine.headers['Authorization']}\r\n"
        broken.sendall(f"{head}Content-Length: {2 * MIB}\r\n\r\n".encode() + os.urandom(MIB))
    journal = services.journal.entries  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while not any(fields.get("method") == "PATCH" for _, fields in journal):
        assert time.monotonic() < deadline, "the broken request does not end"
        time.sleep(0.02)
    assert "error exception" not in [event for event, _ in journal]
    push_blob(engine, f"{app}/web", b"from the start")


def test_a_layer_with_another_digest_than_said_is_refused(engine: httpx.Client, app: str) -> None:
    place = engine.post(f"/v2/{app}/web/blobs/uploads/").headers["Location"]
    place = engine.patch(place, content=b"one").headers["Location"]
    answer = engine.put(httpx.URL(place).copy_merge_params({"digest": digest_of(b"two")}))
    assert (answer.status_code, error_of(answer)) == (400, "DIGEST_INVALID")


def test_a_nearly_full_disk_takes_no_layers(engine: httpx.Client, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, other = (engine.post(f"/v2/{app}/web/blobs/uploads/").headers["Location"] for _ in range(2))
    looks = iter([True])  # when it begins
    monkeypatch.setattr(disk, "takes_uploads", lambda *_: next(looks, False))
    chunk = os.urandom(MIB)
    message = "The layer: the platform's disk is nearly full — tell your operator, then push it again"
    for answer in (
        engine.patch(place, content=(chunk for _ in range(17))),
        engine.post(f"/v2/{app}/web/blobs/uploads/"),
        engine.put(place, content=b"x"),
    ):
        assert (answer.status_code, error_of(answer)) == (503, "UNAVAILABLE")
        assert answer.json()["errors"][0]["message"] == message
    assert engine.delete(other).status_code == 204, "it may be given up"
    monkeypatch.undo()
    push_blob(engine, f"{app}/web", b"there is room again")


def test_a_large_layer_passes_without_filling_the_memory(engine: httpx.Client, app: str) -> None:
    chunk, number = os.urandom(MIB), 200
    whole = hashlib.sha256()
    for _ in range(number):
        whole.update(chunk)
    place = engine.post(f"/v2/{app}/web/blobs/uploads/").headers["Location"]
    before = resident()
    answer = engine.patch(place, content=(chunk for _ in range(number)))
    digest = f"sha256:{whole.hexdigest()}"
    done = engine.put(httpx.URL(answer.headers["Location"]).copy_merge_params({"digest": digest}))
    assert done.status_code == 201, done.text
    received = 0
    with engine.stream("GET", f"/v2/{app}/web/blobs/{digest}") as stream:
        for piece in stream.iter_raw():
            received += len(piece)
    assert received == number * MIB
    assert resident() - before < 60 * MIB


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_a_repository_is_known_by_name_and_id_and_survives_a_rename(
    client: httpx.Client, engine: httpx.Client, app: str
) -> None:
    manifest, _ = push(engine, f"{app}/web")
    identifier = client.get(f"/apps/{app}").json()["id"]
    client.patch(f"/apps/{app}", json={"name": "renamed"}).raise_for_status()
    for name in ("renamed", identifier):
        found = engine.head(f"/v2/{name}/web/manifests/latest")
        assert (found.status_code, found.headers["Docker-Content-Digest"]) == (200, manifest)
    old = engine.get(f"/v2/{app}/web/manifests/latest")
    assert (old.status_code, error_of(old)) == (404, "NAME_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("GET", "manifests/latest"),
        ("HEAD", "manifests/latest"),
        ("PUT", "manifests/latest"),
        ("GET", f"blobs/{digest_of(b'')}"),
        ("POST", "blobs/uploads/"),
        ("PATCH", f"blobs/uploads/{uuid.UUID(int=1)}"),
        ("GET", "tags/list"),
    ],
)
def test_anothers_app_is_as_unknown_as_none(
    engine: httpx.Client, other_engine: httpx.Client, app: str, method: str, rest: str
) -> None:
    push(engine, f"{app}/web")
    headers = {"Content-Type": MANIFEST}
    theirs, none = (other_engine.request(method, f"/v2/{name}/web/{rest}", headers=headers) for name in (app, "none"))
    assert theirs.status_code == none.status_code == 404
    assert theirs.content == none.content
    if method != "HEAD":
        assert error_of(theirs) == "NAME_UNKNOWN"


def test_layers_are_shared_between_readable_repositories_only(
    client: httpx.Client, stranger: httpx.Client, engine: httpx.Client, other_engine: httpx.Client, app: str
) -> None:
    layer = b"a layer"
    digest = push_blob(engine, f"{app}/web", layer)
    shared = engine.post(f"/v2/{app}/worker/blobs/uploads/", params={"mount": digest, "from": f"{app}/web"})
    assert (shared.status_code, shared.headers["Location"]) == (201, f"/v2/{app}/worker/blobs/{digest}")
    stranger.post("/apps", json={"name": "bobs-app"}).raise_for_status()
    identifier = client.get(f"/apps/{app}").json()["id"]
    for source in (f"{app}/web", f"{identifier}/web", f"containers/{identifier}/web", f"apps/{identifier}", "x/../y"):
        answer = other_engine.post("/v2/bobs-app/web/blobs/uploads/", params={"mount": digest, "from": source})
        assert answer.status_code == 202, source
    assert other_engine.head(f"/v2/bobs-app/web/blobs/{digest}").status_code == 404
    manifest = {
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/json", "size": len(layer), "digest": digest}, "layers": [],
    }  # fmt: skip
    stolen = put_manifest(other_engine, "bobs-app/web", json.dumps(manifest).encode(), "latest", MANIFEST)
    assert (stolen.status_code, error_of(stolen)) == (400, "MANIFEST_BLOB_UNKNOWN")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "_catalog", 403, "DENIED"),
        ("GET", "myapp/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", "myapp/web/worker/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", "myapp/Web/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", "myapp/web/../../apps/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", "myapp/web/%2e%2e/%2e%2e/x/manifests/latest", 404, "NAME_UNKNOWN"),
        ("GET", "myapp/web/manifests/" + "x" * 200, 404, "NAME_UNKNOWN"),
        ("GET", "myapp/web/manifests/%00", 404, "NAME_UNKNOWN"),
        ("DELETE", f"myapp/web/blobs/{digest_of(b'')}", 405, "UNSUPPORTED"),
        ("DELETE", "myapp/web/manifests/latest", 405, "UNSUPPORTED"),
        ("PUT", "myapp/web/tags/list", 405, "UNSUPPORTED"),
        ("GET", "myapp/web/manifests/none", 404, "MANIFEST_UNKNOWN"),
        ("GET", f"myapp/web/blobs/{digest_of(b'')}", 404, "BLOB_UNKNOWN"),
        ("GET", "myapp/web/tags/list", 404, "NAME_UNKNOWN"),
    ],
)
def test_what_cannot_be_is_refused_in_the_registrys_words(
    engine: httpx.Client, app: str, method: str, path: str, status: int, code: str
) -> None:
    answer = engine.request(method, f"/v2/{path}")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert "containers/" not in answer.text


def test_an_index_of_several_images_is_refused_with_what_to_do(engine: httpx.Client, app: str) -> None:
    answer = put_manifest(engine, f"{app}/web", b"{}", "latest", INDEX)
    assert (answer.status_code, error_of(answer)) == (400, "MANIFEST_INVALID")
    assert answer.json()["errors"][0]["message"] == (
        "Only an image for one platform can be pushed, without attestations: build it with --platform linux/amd64 "
        "--provenance false --sbom false."
    )


def test_an_image_that_no_release_runs_can_be_deleted(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    first, _ = push(engine, f"{app}/web")
    second, image = push(engine, f"{app}/web")
    release(client, app, update("web", image)).raise_for_status()
    used = engine.delete(f"/v2/{app}/web/manifests/{second}")
    assert (used.status_code, error_of(used)) == (403, "DENIED")
    assert engine.delete(f"/v2/{app}/web/manifests/{first}").status_code == 202
    assert engine.get(f"/v2/{app}/web/manifests/{first}").status_code == 404
    assert engine.get(f"/v2/{app}/web/manifests/{second}").status_code == 200
