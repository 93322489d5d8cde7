"""Slugs that users make themselves: created, uploaded, made a layer by the builder's own job, released."""

import hashlib
import http.client
import io
import json
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import httpx
import pytest

from dynoform.api import slugs as endpoint
from dynoform.api.services import Services
from dynoform.build.job import Tools
from dynoform.build.registry import Registry
from dynoform.build.slug_job import SlugJob
from dynoform.build.stack_image import StackImage, StackImages
from dynoform.domain import builds, images
from dynoform.domain.jobs import Kind
from dynoform.store import jobs
from dynoform.store.session import JOBS, Store
from dynoform.store.tables import Slug
from tests.contract.conftest import Person, path_of
from tests.contract.container_registry import address, services
from tests.contract.test_garbage import STACK, base

__all__ = ["address", "services"]
TYPES = {"web": "./serve $PORT", "worker": "./work"}


def tarball(*members: tuple[str, bytes | str | None], kind: bytes = tarfile.SYMTYPE, root: str = "./app") -> bytes:
    """``tar czf slug.tgz ./app`` with these files, folders (None) and links (str)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in ((root, None), *members):
            member = tarfile.TarInfo(name)
            member.mode = 0o6755
            if isinstance(content, bytes):
                member.size = len(content)
            else:
                member.type = tarfile.DIRTYPE if content is None else kind
                member.linkname = content or ""
            archive.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return buffer.getvalue()


GOOD = tarball(("./app/serve", b"#!/bin/sh\n"), ("./app/lib", None), ("./app/lib/python", "/usr/bin/python3"))


class Stack(StackImages):
    """The stack's image, which the engine would push: here it is there already."""

    def get(self) -> StackImage:
        made = base(self._registry)
        found = self._registry.manifest(STACK, "base")
        assert found
        return StackImage(found, self._registry.config(STACK, images.sha256(made.config)))


class SlugTools(Tools):
    """Those of a builder whose engine has nothing to do."""

    @property
    def stack_images(self) -> StackImages:
        return Stack(self.engine, self.registry, self.store)


@pytest.fixture
def builder(services: Services, store: Store) -> Iterator[Callable[[], None]]:
    """Does the slugs' jobs, in a thread, from the moment at which it is called."""
    ended, nothing = threading.Event(), cast("Any", None)  # no container is made
    logs = cast("Any", services.logs)
    tools = SlugTools(services.configuration, store, services.vault, nothing, logs, services.journal)

    def work() -> None:
        for _ in store.notifications([JOBS], idle=0.1):
            while claim := jobs.take(store, "me", {Kind.SLUG}):
                SlugJob(tools, claim).run()
            if ended.is_set():
                return

    thread = threading.Thread(target=work, daemon=True)
    yield thread.start
    ended.set()
    if thread.ident:
        thread.join(10)
    tools.registry.close()


def create(client: httpx.Client, app: str, **body: object) -> dict[str, Any]:
    answer = client.post(f"/apps/{app}/slugs", json={"process_types": TYPES, **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def upload(nobody: httpx.Client, slug: dict[str, Any], data: bytes) -> httpx.Response:
    return nobody.put(path_of(slug["blob"]["url"]), content=data, headers={"Content-Type": ""}, timeout=60)


def layers(services: Services, store: Store, slug: dict[str, Any]) -> list[tarfile.TarInfo]:
    """The files of the slug's own layer, as the registry has them."""
    with store.transaction() as session:
        repository, digest = images.parts(session.get_one(Slug, uuid.UUID(slug["id"])).image)
    registry = Registry(services.configuration)
    manifest = registry.manifest(repository, digest)
    assert manifest and len(manifest["layers"]) == 2
    blob = registry._send("GET", f"{repository}/blobs/{manifest['layers'][-1]['digest']}", {200}).content
    registry.close()
    with tarfile.open(fileobj=io.BytesIO(blob), mode="r:gz") as archive:
        return archive.getmembers()


def test_a_slug_is_created_uploaded_and_released(
    client: httpx.Client, nobody: httpx.Client, app: str, services: Services, store: Store, builder: Callable[[], None]
) -> None:
    builder()
    checksum = f"SHA256:{hashlib.sha256(GOOD).hexdigest()}"
    slug = create(client, app, commit="abc1234def", buildpack_provided_description="Own", checksum=checksum.lower())
    assert slug["blob"]["method"] == "put"
    assert (slug["process_types"], slug["commit"], slug["checksum"]) == (TYPES, "abc1234def", checksum)
    assert (slug["size"], slug["stack"]["name"], slug["buildpack_provided_description"]) == (None, "dynoform-13", "Own")
    assert upload(nobody, slug, GOOD).status_code == 200
    made = client.get(f"/apps/{app}/slugs/{slug['id']}").json()
    assert made["blob"]["method"] == "get" and made["blob"]["url"].startswith("docker://")
    assert made["size"] > 0 and made["checksum"] == checksum
    released = client.post(f"/apps/{app}/releases", json={"slug": slug["id"]})
    assert (released.status_code, released.json()["description"]) == (201, "Deploy abc1234d")
    assert {row["type"]: row["command"] for row in client.get(f"/apps/{app}/formation").json()} == TYPES
    files = {file.name: file for file in layers(services, store, slug)}
    assert sorted(files) == ["app", "app/lib", "app/lib/python", "app/serve"]
    assert files["app/lib/python"].linkname == "/usr/bin/python3"
    assert {(file.uid, file.gid, file.mode & 0o7000) for file in files.values()} == {(1000, 1000, 0)}
    again = upload(nobody, slug, GOOD)
    message = "The slug has been uploaded already. Create another one for other contents."
    assert (again.status_code, again.json()["message"]) == (409, message)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"no tarball", "is not a whole tarball"),
        (GOOD[:60], "is not a whole tarball"),
        (tarball(root="./elsewhere"), "has 'elsewhere', which is not in the folder app — pack it with tar czf"),
        (tarball(("../etc/passwd", b"x")), "has a file named '../etc/passwd'"),
        (tarball(("/etc/passwd", b"x")), "has a file named '/etc/passwd'"),
        (tarball(("./app/a", "/etc"), ("./app/a/passwd", b"x")), "'a/passwd' is in a folder that is a link"),
        (tarball(("./app/a", "/etc/shadow"), kind=tarfile.LNKTYPE), "has a file named '/etc/shadow'"),
        (tarball(("./app/a", "etc/shadow"), kind=tarfile.LNKTYPE), "has 'etc/shadow', which is not in the folder app"),
        (tarball(("./app/null", ""), kind=tarfile.CHRTYPE), "'null' is not a plain file, folder or link"),
        (tarball(("./app/bomb", b"\0" * (4 << 20))), "is larger than 2.1M"),
    ],
    ids=["text", "cut", "folder", "parent", "absolute", "through-link", "hard-link", "hard-link-out", "device", "bomb"],
)
def test_a_tarball_that_is_no_slug_is_refused_and_a_better_one_can_follow(
    client: httpx.Client,
    nobody: httpx.Client,
    app: str,
    builder: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    data: bytes,
    why: str,
) -> None:
    monkeypatch.setattr(builds, "SOURCE_BYTES", 2 * builds.MIB)
    builder()
    slug = create(client, app)
    refused = upload(nobody, slug, data)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith(f"The tarball is not a slug: {why}")
    answer = client.post(f"/apps/{app}/releases", json={"slug": slug["id"]})
    assert answer.status_code == 422
    assert answer.json()["message"].startswith(f"The slug cannot be released: {why}")
    assert upload(nobody, slug, GOOD).status_code == 200
    assert client.post(f"/apps/{app}/releases", json={"slug": slug["id"]}).status_code == 201


def test_what_is_not_uploaded_or_not_ready_cannot_be_released(
    client: httpx.Client,
    nobody: httpx.Client,
    app: str,
    store: Store,
    builder: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "_WAIT_SECONDS", 0.2)
    slug = create(client, app)
    answer = client.post(f"/apps/{app}/releases", json={"slug": slug["id"]})
    message = "The slug has no contents yet: upload its tarball to its blob's url, then release it"
    assert (answer.status_code, answer.json()["message"]) == (422, message)
    assert upload(nobody, slug, GOOD).status_code == 202  # no builder is there
    answer = client.post(f"/apps/{app}/releases", json={"slug": slug["id"]})
    message = "The slug is not ready yet: it was uploaded a moment ago. Try again in some seconds."
    assert (answer.status_code, answer.json()["message"]) == (409, message)
    assert upload(nobody, slug, GOOD).status_code == 409
    builder()
    deadline = threading.Event()
    while client.post(f"/apps/{app}/releases", json={"slug": slug["id"]}).status_code != 201:
        assert not deadline.wait(0.1)
        with store.transaction() as session:
            assert session.get_one(Slug, uuid.UUID(slug["id"])).failure is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Invalid request. process_types is required."),
        ({"process_types": {}}, "Invalid request. process_types must not be empty."),
        ({"process_types": {"we b": "x"}}, "process type 'we b': may only have letters"),
        ({"process_types": {"web": " "}}, "process type web: needs a command of 1 to 4000 characters"),
        ({"process_types": TYPES, "checksum": "md5"}, "checksum must be SHA256: and the 64 hexadecimal digits"),
        ({"process_types": TYPES, "stack": "heroku-22"}, "Couldn't find that stack (heroku-22)."),
        ({"process_types": TYPES, "stack": "container"}, "A slug runs on a stack of its own: give dynoform-13"),
    ],
)
def test_a_wrong_slug_is_refused(client: httpx.Client, app: str, body: object, message: str) -> None:
    answer = client.post(f"/apps/{app}/slugs", json=body)
    assert (answer.status_code, answer.json()["message"][: len(message)]) == (422, message)


def test_an_upload_needs_its_link_and_the_announced_checksum(
    client: httpx.Client, nobody: httpx.Client, app: str, person: Person
) -> None:
    slug = create(client, app, checksum=f"SHA256:{'0' * 64}")
    refused = upload(nobody, slug, GOOD)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("The slug has the checksum SHA256:")
    empty = upload(nobody, slug, b"")
    message = "The slug has the checksum SHA256:e3b0c442"
    assert (empty.status_code, empty.json()["message"][: len(message)]) == (422, message)
    link = path_of(slug["blob"]["url"])
    assert nobody.put(link.partition("?")[0], content=GOOD).status_code == 403
    assert nobody.put(link.replace(slug["id"], str(uuid.UUID(int=1))), content=GOOD).status_code == 404
    assert person("carol").post(f"/apps/{app}/slugs", json={"process_types": TYPES}).status_code == 404
    connection = http.client.HTTPConnection(nobody.base_url.host, nobody.base_url.port or 0, timeout=60)
    connection.request("PUT", link, headers={"Content-Length": str(1 << 40)})
    huge = connection.getresponse()
    assert (huge.status, json.load(huge)["message"]) == (413, "Slugs are limited to 1073741824 bytes.")
    connection.close()


def test_an_empty_upload_is_said_to_be_empty(client: httpx.Client, nobody: httpx.Client, app: str) -> None:
    answer = upload(nobody, create(client, app), b"")
    message = "The slug is empty: send the tarball as the request's body."
    assert (answer.status_code, answer.json()["message"]) == (422, message)
