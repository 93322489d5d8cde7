"""Slugs laid on another stack image in a real registry, and what operator and users are told about stack images."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.build.registry import LayerGoneError, Registry
from dynoform.build.relay_job import RelayJob
from dynoform.build.stack_image import REPOSITORY, StackImage
from dynoform.domain import garbage, images, sbom
from dynoform.domain.jobs import Kind
from dynoform.domain.stack_updates import Update
from dynoform.store import jobs, stack_images
from dynoform.store.session import Store
from dynoform.store.tables import Account, Dyno, Job, PushedImage, Release, Slug, now
from dynoform.store.tables import StackImage as StackImageRow
from tests.contract.conftest import OPERATOR_KEY, Recorder, make_client, serve
from tests.contract.container_registry import address, services
from tests.contract.test_garbage import app_id_of, collect, deploy, layer_of, registry

__all__ = ["address", "collect", "registry", "services"]
PATH = "/dynoform/stack-images"
SSL = Update("libssl3t64", "openssl", "3.5.1-1", "3.5.4-1", "trixie-security", security=True)
TZ = Update("tzdata", "tzdata", "2026a", "2026b", "trixie-updates", security=False)
BILL = json.dumps(
    {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {},
        "components": [{"name": "libssl3t64", "version": "3.5.1-1", "purl": "pkg:deb/debian/libssl3t64@3.5.1-1"}],
    }
)


def stack(registry: Registry, version: str) -> StackImage:
    """A stack image in the registry, with a layer of its own."""
    plain = {"mediaType": images.MANIFEST, "config": {"mediaType": "application/json"}, "layers": []}
    layer = layer_of(registry, REPOSITORY, f"stack {version}".encode() * 100)
    made = images.with_slug(plain, {"os": "linux", "rootfs": {"diff_ids": []}}, [layer])
    registry.push(REPOSITORY, version, made)
    return StackImage(json.loads(made.body), json.loads(made.config), version)


@dataclass
class Tools:
    """What a job works with, as far as this one does; the stack image is the test's."""

    store: Store
    registry: Registry
    journal: Any
    newest: StackImage
    logs: Recorder = field(default_factory=Recorder)

    @property
    def stack_images(self) -> "Tools":
        return self

    def get(self) -> StackImage:
        return self.newest


@pytest.fixture
def tools(store: Store, registry: Registry, services: Services) -> Tools:
    return Tools(store, registry, services.journal, stack(registry, "000000000002"))


def relay(tools: Tools) -> None:
    """What builders do about it, until nothing is left."""
    stack_images.queue(tools.store, tools.newest.version)
    while claim := jobs.take(tools.store, "test", [Kind.RELAY]):
        RelayJob(tools, claim).run()  # type: ignore[arg-type]


def slugs_of(store: Store, app_id: uuid.UUID) -> list[Slug]:
    with store.transaction() as session:
        return list(session.scalars(select(Slug).where(Slug.app_id == app_id).order_by(Slug.created_at)))


def layers(registry: Registry, slug: Slug) -> list[str]:
    manifest = registry.manifest(*images.parts(slug.image))
    assert manifest
    assert all(registry._has(images.parts(slug.image)[0], layer["digest"]) for layer in manifest["layers"])
    return [layer["digest"] for layer in manifest["layers"]]


def test_every_slug_is_laid_on_the_newest_stack_image_without_a_release(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account, tools: Tools
) -> None:
    app_id = app_id_of(client, app)
    deploy(store, registry, app_id, operator)
    deploy(store, registry, app_id, operator)
    before, releases = slugs_of(store, app_id), client.get(f"/apps/{app}/releases").json()
    own = [layers(registry, slug)[-2:] for slug in before]
    relay(tools)
    after = slugs_of(store, app_id)
    assert [layers(registry, slug) for slug in after] == [[*tools.newest.layers, *two] for two in own]
    assert [slug.base for slug in after] == [tools.newest.version] * 2
    assert [(slug.id, slug.checksum, slug.size) for slug in after] == [
        (slug.id, slug.checksum, slug.size) for slug in before
    ]
    assert client.get(f"/apps/{app}/releases").json() == releases
    line = (
        f"app[api]: Stack dynoform-13 was updated to image {tools.newest.version}: dynos are replaced, no new release"
    )
    assert tools.logs.lines == [line]
    # A rollback takes the older slug, on the newest image.
    version = client.post(f"/apps/{app}/releases", json={"release": releases[-2]["id"]}).json()["version"]
    with store.transaction() as session:
        rolled_back = session.scalars(select(Release).where(Release.version == version)).one()
        assert rolled_back.slug
        assert rolled_back.slug.image == after[0].image


def test_a_second_time_nothing_changes_and_a_rebuild_of_the_same_is_no_change(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account, tools: Tools
) -> None:
    app_id = app_id_of(client, app)
    deploy(store, registry, app_id, operator)
    relay(tools)
    first = slugs_of(store, app_id)[0]
    tools.newest = replace(stack(registry, "built-anew"), version=tools.newest.version)
    relay(tools)
    second = slugs_of(store, app_id)[0]
    assert (second.image, second.updated_at) == (first.image, first.updated_at)
    with store.transaction() as session:
        assert session.scalars(select(Job)).all() == []


def test_a_worker_that_was_killed_half_way_is_gone_on_with(
    client: httpx.Client,
    app: str,
    store: Store,
    registry: Registry,
    operator: Account,
    tools: Tools,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app_id = app_id_of(client, app)
    for _ in range(4):
        deploy(store, registry, app_id, operator)

    class KilledError(BaseException):
        """As SIGKILL: nothing of ours goes on."""

    pushes = 0
    push = registry.push

    def push_or_die(*arguments: Any) -> str:
        nonlocal pushes
        pushes += 1
        if pushes in (1, 3):  # before anything was written down, and after a part of it
            raise KilledError
        return push(*arguments)

    monkeypatch.setattr(registry, "push", push_or_die)
    stack_images.queue(store, tools.newest.version)
    for _ in range(2):
        claim = jobs.take(store, "test", [Kind.RELAY])
        while claim is not None:
            try:
                RelayJob(tools, claim).work()  # type: ignore[arg-type]
            except KilledError:
                with store.transaction() as session:  # its lease runs out
                    session.get_one(Job, claim.id).lease_expires_at = None
                break
            claim = jobs.take(store, "test", [Kind.RELAY])
    relay(tools)
    assert pushes > 4
    assert {slug.base for slug in slugs_of(store, app_id)} == {tools.newest.version}
    assert all(layers(registry, slug)[:-2] == tools.newest.layers for slug in slugs_of(store, app_id))


def test_a_second_turn_that_has_begun_is_not_freed_by_the_first_one_that_leaves(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account, tools: Tools
) -> None:
    app_id = app_id_of(client, app)
    for _ in range(2):
        deploy(store, registry, app_id, operator)
    stack_images.queue(store, tools.newest.version)
    claim = jobs.take(store, "shift", [Kind.RELAY])
    assert claim
    first = RelayJob(tools, claim)  # type: ignore[arg-type]
    first.work()
    second = jobs.take(store, "shift", [Kind.RELAY])
    assert second and second.id == claim.id, "the job queued itself again, and another thread of the shift has it"
    assert not jobs.renew(store, claim)
    first.abandon()
    assert jobs.take(store, "other", [Kind.RELAY]) is None
    assert jobs.renew(store, second)
    RelayJob(tools, second).run()  # type: ignore[arg-type]
    assert not jobs.waits(store, claim.id)


def test_a_slug_that_was_promoted_is_laid_from_the_other_apps_repository(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account, tools: Tools
) -> None:
    app_id = app_id_of(client, app)
    deploy(store, registry, app_id, operator)
    client.post("/apps", json={"name": "prod"})
    other = app_id_of(client, "prod")
    (own,) = slugs_of(store, app_id)
    with store.transaction() as session:
        copied = Slug(id=uuid.uuid4(), app_id=other, image=own.image, size=1, checksum="", stack=own.stack)
        copied.process_types = {}
        session.add(copied)
    relay(tools)
    (own,), (copied,) = slugs_of(store, app_id), slugs_of(store, other)
    assert images.parts(copied.image)[0] == images.app_repository(other)
    assert layers(registry, copied) == layers(registry, own)


def test_what_the_registry_has_lost_is_told_once_and_holds_nobody_up(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account, tools: Tools
) -> None:
    app_id = app_id_of(client, app)
    deploy(store, registry, app_id, operator)
    repository, digest = deploy(store, registry, app_id, operator)
    registry.delete(repository, digest)
    relay(tools)
    with store.transaction() as session:
        assert stack_images.waiting(session, tools.newest.version) == stack_images.Waiting(0, 0, 0, [])
    older, lost = slugs_of(store, app_id)
    assert layers(registry, older)[:-2] == tools.newest.layers
    ((_, told),) = [
        entry for entry in tools.journal.entries if entry[0] == "error slug cannot be laid on the stack image"
    ]
    assert str(told["error"]) == f"image {lost.image}: is not in the registry any more — deploy the app anew"


def test_a_layer_that_the_registry_collects_meanwhile_is_brought_again(
    client: httpx.Client,
    app: str,
    store: Store,
    registry: Registry,
    operator: Account,
    tools: Tools,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app_id = app_id_of(client, app)
    deploy(store, registry, app_id, operator)
    failures, push = [LayerGoneError("registry", "refuses")], registry.push

    def push_at_last(*arguments: Any) -> str:
        if failures:
            raise failures.pop()
        return push(*arguments)

    monkeypatch.setattr(registry, "push", push_at_last)
    relay(tools)
    (slug,) = slugs_of(store, app_id)
    assert layers(registry, slug)[:-2] == tools.newest.layers


def test_the_former_image_stays_while_a_dyno_runs_on_it_and_goes_then(
    client: httpx.Client,
    app: str,
    store: Store,
    registry: Registry,
    operator: Account,
    tools: Tools,
    collect: Callable[[], None],
) -> None:
    app_id = app_id_of(client, app)
    former = deploy(store, registry, app_id, operator)
    with store.transaction() as session:
        release = session.scalars(select(Release).where(Release.current)).one()
        assert release.slug
        runs = {"app_id": app_id, "release_id": release.id, "size": "Basic", "command": "x", "state": "up"}
        session.add(Dyno(**runs, type="web", number=1, image=release.slug.image))
        session.add(Dyno(**runs, type="worker", number=1, image=release.slug.image))
    relay(tools)
    with store.transaction() as session:
        assert stack_images.waiting(session, tools.newest.version) == stack_images.Waiting(0, 0, 2, [app])
    collect()
    assert registry.manifest(*former) is not None
    with store.transaction() as session:
        for dyno, state in zip(session.scalars(select(Dyno)), ("crashed", "idle"), strict=True):
            dyno.state = state
        assert stack_images.waiting(session, tools.newest.version).dynos == 0, "they get it when they start"
        for dyno in session.scalars(select(Dyno)):
            session.delete(dyno)
    collect()
    assert registry.manifest(*former) is None
    (slug,) = slugs_of(store, app_id)
    assert layers(registry, slug)
    with store.transaction() as session:
        assert [f"{row.repository}@{row.digest}" for row in session.scalars(select(PushedImage))] == [
            slug.image.partition("/")[2]
        ]


def declare(store: Store, kind: str, image_id: str, bill: str | None = BILL) -> str:
    version = sbom.version(bill) if bill else image_id
    with store.transaction() as session:
        stack_images.declare(session, image_id, kind, f"dynoform/{kind}:1", version, bill)
    return version


def test_the_operator_is_told_of_images_updates_and_what_waits(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account
) -> None:
    assert client.get(PATH).json() == []
    declare(store, "run", "sha256:old", None)
    version = declare(store, "run", "sha256:run")
    declare(store, "build", "sha256:build", None)
    deploy(store, registry, app_id_of(client, app), operator)
    run, build = client.get(PATH).json()
    assert (run["id"], run["kind"], run["stack"], run["version"]) == ("sha256:run", "run", "dynoform-13", version)
    assert (run["packages"], run["apps"], run["updates"], run["asked_at"]) == (1, 1, None, None)
    assert run["waiting"] == {"apps": 1, "slugs": 1, "dynos": 0, "names": [app]}
    assert (build["packages"], build["waiting"]) == (None, None)
    assert {image.id for image in stack_images.to_ask(store)} == {"sha256:run", "sha256:build"}
    assert stack_images.to_ask(store) == [], "asked by somebody else already"
    with store.transaction() as session:
        stack_images.told(session, "sha256:run", [(SSL, ["CVE-2026-1"]), (TZ, [])])
        stack_images.not_told(session, "sha256:build", "Debian's package mirror: cannot be asked")
    run, build = client.get(PATH).json()
    assert run["updates"] == [{**SSL.as_json(), "cves": ["CVE-2026-1"]}, {**TZ.as_json(), "cves": []}]
    assert (build["updates"], build["problem"]) == (None, "Debian's package mirror: cannot be asked")
    declare(store, "run", "sha256:old")
    assert client.get(PATH).json()[0]["id"] == "sha256:old", "the one that builders use now"


def test_a_former_stack_image_leaves_the_registry_when_another_is_in_use(
    client: httpx.Client,
    app: str,
    store: Store,
    registry: Registry,
    operator: Account,
    tools: Tools,
    collect: Callable[[], None],
) -> None:
    deploy(store, registry, app_id_of(client, app), operator)
    relay(replace(tools, newest=stack(registry, "000000000001")))
    former, present = (registry.digest(REPOSITORY, version) for version in ("000000000001", "000000000002"))
    for image_id in ("sha256:000000000001ff", "sha256:000000000002ff"):
        declare(store, "run", image_id)
    collect()
    assert registry.digest(REPOSITORY, "000000000001") == former, "it was in use a moment ago"
    with store.transaction() as session:
        session.get_one(StackImageRow, "sha256:000000000001ff").declared_at = now() - 2 * garbage.GRACE
    collect()
    assert registry.digest(REPOSITORY, "000000000001") is None
    assert registry.digest(REPOSITORY, "000000000002") == present
    assert layers(registry, slugs_of(store, app_id_of(client, app))[0]), "what lies on it is whole"


def test_the_bill_of_materials_is_shown(client: httpx.Client, store: Store) -> None:
    declare(store, "run", "sha256:run")
    assert client.get(f"{PATH}/run/sbom").json() == json.loads(BILL)
    missing = client.get(f"{PATH}/build/sbom")
    assert (missing.status_code, missing.json()["message"]) == (404, "Couldn't find that bill of materials.")


def test_old_stacks_are_told_as_deprecated(services: Services, operator: Account) -> None:
    configuration = replace(services.configuration, old_stacks=("dynoform-13",))
    with serve(replace(services, configuration=configuration)) as url, make_client(url, OPERATOR_KEY) as client:
        states = {stack["name"]: stack["state"] for stack in client.get("/stacks").json()}
        assert states == {"container": "public", "dynoform-13": "deprecated"}
        assert client.get("/stacks/dynoform-13").json()["state"] == "deprecated"


def test_only_the_operator_sees_stack_images(stranger: httpx.Client) -> None:
    for path in (PATH, f"{PATH}/run/sbom"):
        answer = stranger.get(path)
        assert answer.status_code == 403
        assert (
            answer.json()["message"] == "You do not have access to the platform's stack images. Only its operator has."
        )


def test_an_apps_owner_is_told_of_security_updates_under_it(
    client: httpx.Client, app: str, store: Store, registry: Registry, operator: Account
) -> None:
    path = f"/apps/{app}/vulnerabilities"

    def message() -> str:
        return str(client.get(path).json()["message"])

    assert message() == "The app has no release with a slug yet."
    deploy(store, registry, app_id_of(client, app), operator)
    assert message() == (
        "What is in the stack image under the app is not known. Its slug is about to be laid on the newest one."
    )
    version = declare(store, "run", "sha256:run")
    with store.transaction() as session:
        session.scalars(select(Slug)).one().base = version
    asked = "The package mirror has not been asked yet which packages have updates."
    assert message() == asked
    with store.transaction() as session:
        stack_images.not_told(session, "sha256:run", "Debian's package mirror: no answer — check it")
    assert message() == f"{asked} Debian's package mirror: no answer — check it"
    with store.transaction() as session:
        stack_images.told(session, "sha256:run", [(TZ, None)])
    assert message() == "No package has a security update that the stack image lacks."
    with store.transaction() as session:
        stack_images.told(session, "sha256:run", [(SSL, None), (TZ, None)], "Debian's security tracker is away.")
    report = client.get(path).json()
    assert (report["app"]["name"], report["stack"]["name"], report["stack_image"]) == (app, "dynoform-13", version)
    assert report["packages"] == [{**SSL.as_json(), "cves": None}]
    assert report["message"] == (
        "The operator installs them for all apps with bin/dynoform patch. Nothing has to be deployed."
    )
    assert report["tracker"] == "Debian's security tracker is away."
    assert report["asked_at"]
    with store.transaction() as session:
        session.scalars(select(Slug)).one().stack = "container"
    assert message() == "The app runs images of its owner's own. What is in them, the platform does not know."
