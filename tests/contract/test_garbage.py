"""What nobody needs leaves the real registry, and nothing else: manifests by the builder, layers by the registry."""

import os
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete, func, select, update

from dynoform.api.services import Services
from dynoform.build.garbage import Collector
from dynoform.build.registry import LayerGoneError, Registry
from dynoform.configuration import Configuration
from dynoform.domain import container_images, garbage, images
from dynoform.domain.images import Layer, Manifest, with_slug
from dynoform.domain.jobs import Kind
from dynoform.journal import Journal
from dynoform.store import jobs, pushed_images
from dynoform.store.releases import create_release, lock_app
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Job, Lease, PushedImage, Slug
from tests import registry as real
from tests.contract.container_registry import address, engine, push, release, services, slug_of
from tests.contract.container_registry import update as change
from tests.contract.hooks import until

__all__ = ["address", "engine", "services"]
STACK = "stacks/stack-13"
MIB = 1024 * 1024


@pytest.fixture
def registry(services: Services) -> Iterator[Registry]:
    made = Registry(services.configuration)
    yield made
    made.close()


@pytest.fixture
def collect(store: Store, registry: Registry, services: Services) -> Callable[[], None]:
    """Look at all images as a builder does, when all that was pushed so far is old; lists are read again each time."""

    def run() -> None:
        with store.transaction() as session:
            session.execute(update(PushedImage).values(used_at=PushedImage.used_at - garbage.GRACE * 2))
            session.execute(update(Lease).values(expires_at=func.now() - timedelta(seconds=1)))
        Collector(store, registry, services.journal, threading.Event()).run()

    return run


def layer_of(registry: Registry, repository: str, data: bytes) -> Layer:
    registry.upload(repository, images.sha256(data), lambda: data)
    return Layer(images.sha256(data), len(data), images.sha256(data))


def base(registry: Registry) -> Manifest:
    """A stack's image with one layer, as the engine pushes it."""
    layer = layer_of(registry, STACK, b"stack" * 1000)
    plain = {"mediaType": images.MANIFEST, "config": {"mediaType": "application/json"}, "layers": []}
    made = with_slug(plain, {"os": "linux", "rootfs": {"diff_ids": []}}, [layer])
    registry.push(STACK, "base", made)
    return made


def build(registry: Registry, repository: str, tag: str, data: bytes) -> Manifest:
    """What a build pushes: a slug's two layers on the stack's."""
    stack = base(registry)
    manifest, config = registry.manifest(STACK, "base"), registry.config(STACK, images.sha256(stack.config))
    assert manifest
    for layer in manifest["layers"]:
        registry.mount(repository, layer["digest"], STACK)
    half = len(data) // 2
    made = with_slug(manifest, config, [layer_of(registry, repository, each) for each in (data[:half], data[half:])])
    registry.push(repository, tag, made)
    return made


def built(store: Store, registry: Registry, app_id: uuid.UUID) -> tuple[str, str]:
    """An image of a build that got as far as the push; (repository, digest)."""
    repository, data = images.app_repository(app_id), os.urandom(2000)
    made = build(registry, repository, str(uuid.uuid4()), data)
    with store.transaction() as session:
        pushed_images.note(session, repository, made.digest)
    return repository, made.digest


def app_id_of(client: httpx.Client, name: str) -> uuid.UUID:
    return uuid.UUID(client.get(f"/apps/{name}").json()["id"])


def deploy(store: Store, registry: Registry, app_id: uuid.UUID, account: Account) -> tuple[str, str]:
    repository, digest = built(store, registry, app_id)
    with store.transaction() as session:
        image = f"{registry.address}/{repository}@{digest}"
        slug = Slug(id=uuid.uuid4(), app_id=app_id, image=image, size=1, checksum="SHA256:0", stack="dynoform-13")
        slug.process_types = {"web": "true"}
        session.add(slug)
        app = session.get_one(App, app_id)
        create_release(session, app, description="Deploy", account_id=account.id, slug=slug)
    return repository, digest


def test_images_of_failed_builds_and_of_apps_that_are_gone_leave_and_others_stay(
    client: httpx.Client,
    app: str,
    store: Store,
    registry: Registry,
    operator: Account,
    services: Services,
    collect: Callable[[], None],
) -> None:
    app_id = app_id_of(client, app)
    kept, failed = deploy(store, registry, app_id, operator), built(store, registry, app_id)
    client.post("/apps", json={"name": "other"})
    gone = deploy(store, registry, app_id_of(client, "other"), operator)
    with store.transaction() as session:
        unknown = session.get_one(PushedImage, gone)
        session.delete(unknown)  # a store from before that push: the registry's own list has the image
    client.delete("/apps/other")
    collect()  # takes it up, and removes what is old
    assert registry.manifest(*failed) is None
    assert registry.manifest(*gone) is not None
    collect()
    assert registry.manifest(*gone) is None
    assert registry.manifest(*kept) is not None
    assert registry.manifest(STACK, "base") is not None
    with store.transaction() as session:
        assert [row.digest for row in session.scalars(select(PushedImage))] == [kept[1]]
    assert ("info images removed that nobody needs", {"images": 1}) in services.journal.entries  # type: ignore[attr-defined]


def test_an_image_stays_while_its_app_has_a_job_and_while_it_is_young(
    client: httpx.Client, app: str, store: Store, registry: Registry, services: Services, collect: Callable[[], None]
) -> None:
    image = built(store, registry, app_id_of(client, app))
    Collector(store, registry, services.journal, threading.Event()).run()
    assert registry.manifest(*image) is not None
    with store.transaction() as session:
        assert lock_app(session, app_id_of(client, app))
        jobs.add(session, app_id_of(client, app), Kind.BUILD, uuid.uuid4())
    collect()
    assert registry.manifest(*image) is not None
    with store.transaction() as session:
        session.execute(delete(Job))
    collect()
    assert registry.manifest(*image) is None


def test_what_is_pushed_again_while_it_is_removed_is_whole_again(
    client: httpx.Client, app: str, store: Store, registry: Registry, collect: Callable[[], None]
) -> None:
    repository, data = images.app_repository(app_id_of(client, app)), b"the same source"
    first = build(registry, repository, "first", data)
    with store.transaction() as session:
        pushed_images.note(session, repository, first.digest)
        session.execute(update(PushedImage).values(used_at=func.now() - garbage.GRACE * 2))
    done = threading.Event()

    def again() -> None:
        with store.transaction() as session:
            pushed_images.note(session, repository, first.digest)
        build(registry, repository, "second", data)
        done.set()

    with store.transaction() as session:
        found = pushed_images.lock(session, repository, first.digest)
        assert found and garbage.may_go(found)
        pusher = threading.Thread(target=again)
        pusher.start()
        assert not done.wait(0.5)
        registry.delete(repository, first.digest)
        pushed_images.forget(session, repository, first.digest)
    pusher.join(60)
    Collector(store, registry, Journal("test"), threading.Event()).run()
    assert registry.manifest(repository, first.digest) is not None


def test_of_pushed_images_the_tagged_the_released_and_the_rolled_back_to_stay(
    client: httpx.Client, app: str, engine: httpx.Client, store: Store, registry: Registry, collect: Callable[[], None]
) -> None:
    app_id = app_id_of(client, app)
    repository = container_images.repository(app_id, "web")
    first, first_id = push(engine, f"{app}/web")
    assert release(client, app, change("web", first_id)).status_code == 200
    never, _ = push(engine, f"{app}/web")
    tagged, tagged_id = push(engine, f"{app}/web")
    collect()
    there = [registry.manifest(repository, digest) is not None for digest in (first, never, tagged)]
    assert there == [True, False, True]
    assert release(client, app, change("web", tagged_id)).status_code == 200
    collect()
    assert registry.manifest(repository, first) is not None  # what a release can go back to
    assert slug_of(client, app)["stack"]["name"] == "container"
    client.delete(f"/apps/{app}")
    collect()
    assert [registry.manifest(repository, digest) for digest in (first, tagged)] == [None, None]


def test_a_manifest_that_is_too_large_is_refused_before_it_is_passed_on(app: str, engine: httpx.Client) -> None:
    headers = {"Content-Type": images.MANIFEST}
    answer = engine.put(f"/v2/{app}/web/manifests/latest", content=b" " * (4 * MIB + 1), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["code"] == "SIZE_INVALID"


class OwnRegistry:
    """A registry of one test, run by the image's entrypoint, collecting its garbage all the time."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        secrets, self.folder = folder / "secrets", folder / "registry"
        secrets.mkdir()
        self.folder.mkdir()
        self.port = real.configure(self.folder, secrets)
        self.client = Registry(replace(configuration, secrets=secrets), self.port)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, every: int = 1, quiet: int = 1) -> None:
        settings = {"COLLECT_SECONDS": str(every), "QUIET_SECONDS": str(quiet), "POLL_SECONDS": "0.3"}
        self.process = real.start(self.folder, self.port, **settings)

    def kill(self) -> None:
        """Of all its processes, as the engine does it."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        until(lambda: not self.listens())  # else the next one finds its port taken

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((real.LOCAL, self.port)) == 0

    def blobs(self) -> set[str]:
        found = (self.folder / "data/docker/registry/v2/blobs/sha256").glob("*/*/data")
        return {f"sha256:{path.parent.name}" for path in found}

    def collections(self) -> list[str]:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return [line for line in lines if line.startswith("info registry garbage collected")]

    def wait_for_collection(self, before: int | None = None) -> str:
        """The line of the next one, or of that after so many."""
        before, deadline = len(self.collections()) if before is None else before, time.monotonic() + 90
        while len(self.collections()) == before:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)
        time.sleep(0.5)  # until it ends the one that takes no pushes
        real.wait(self.port, self.folder / "log")
        return self.collections()[before]


@pytest.fixture
def own(tmp_path: Path, configuration: Configuration) -> Iterator[OwnRegistry]:
    if real.binary() is None:
        pytest.skip("no docker-registry, and no apt-get that could bring Debian's")
    made = OwnRegistry(tmp_path, configuration)
    yield made
    made.client.close()
    if made.process and made.process.poll() is None:
        made.kill()


def whole(registry: Registry, repository: str, image: Manifest) -> bool:
    """Whether it can be pulled: the manifest and all that it names."""
    found = registry.manifest(repository, image.digest)
    names = [found["config"], *found["layers"]] if found else []
    return bool(names) and all(registry._has(repository, one["digest"]) for one in names)


def test_layers_go_when_no_image_has_them_and_the_journal_says_how_much_that_was(own: OwnRegistry) -> None:
    own.start(every=3600)
    kept, gone = (build(own.client, f"apps/{name}", "1", os.urandom(MIB)) for name in ("kept", "gone"))
    other = layer_of(own.client, "apps/failed", os.urandom(MIB))  # a push that got no further
    own.client.delete("apps/gone", gone.digest)
    own.kill()
    own.start(quiet=5)  # in the middle of a push that stands still for less
    line = own.wait_for_collection(0)
    assert own.blobs().isdisjoint({other.digest, gone.digest, images.sha256(gone.config)})
    assert whole(own.client, "apps/kept", kept)
    assert whole(own.client, STACK, base(own.client))
    assert sorted(own.client.repositories()) == ["apps/kept", STACK]
    freed = int(line.partition("freed_kib=")[2].split()[0])
    assert 2 * 1024 <= freed < 2 * 1024 + 200, line
    # What was there before is taken for there no more: a push of the same brings the layers again.
    again = build(own.client, "apps/gone", "1", os.urandom(MIB))
    assert whole(own.client, "apps/gone", again)


def test_who_pushes_meanwhile_waits_and_loses_nothing(own: OwnRegistry) -> None:
    # As if it never were quiet: in the middle of pushes.
    own.start(every=2, quiet=0)
    ended, pushed = threading.Event(), []

    def work(name: str) -> None:
        number = 0
        while not ended.is_set():
            number += 1
            with suppress(LayerGoneError):  # then ``slug_image`` begins anew
                pushed.append((f"apps/{name}", build(own.client, f"apps/{name}", str(number), os.urandom(20_000))))
            time.sleep(0.2)

    workers = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for worker in workers:
        worker.start()
    for _ in range(2):
        own.wait_for_collection()
    until(lambda: len(pushed) >= 2)
    ended.set()
    for worker in workers:
        worker.join(60)
    assert all(whole(own.client, *one) for one in pushed)


def test_killed_in_the_middle_it_begins_again_and_what_is_needed_is_there(own: OwnRegistry) -> None:
    own.start(every=3600)
    kept = [build(own.client, "apps/kept", str(number), os.urandom(50_000)) for number in range(5)]
    own.kill()
    for moment in (0.7, 0.8, 0.9, 1.0, 1.2):
        own.start(quiet=0)
        layer_of(own.client, "apps/failed", os.urandom(MIB))
        time.sleep(moment)
        own.kill()
    own.start(quiet=0)
    layer_of(own.client, "apps/failed", os.urandom(MIB))
    # Manifests, configs and slugs, and those of the stack. The last layer may have come after a first collection.
    until(lambda: len(own.blobs()) == 3 + 4 * len(kept), 90)
    assert all(whole(own.client, "apps/kept", image) for image in kept)
    own.process.terminate()  # type: ignore[union-attr]
    assert own.process.wait(60) == 0  # type: ignore[union-attr]
