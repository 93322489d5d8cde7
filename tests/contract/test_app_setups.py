"""App setups: asked for by the API, done by the builder's own job; their builds end as the test says."""

import io
import json
import tarfile
import uuid
from collections.abc import Callable
from typing import Any, cast

import httpx
import pytest
from sqlalchemy import select

from dynoform.addons.worker import Worker
from dynoform.api.services import Services
from dynoform.build import setup_job
from dynoform.build.job import Tools
from dynoform.build.setup_job import SetupJob
from dynoform.domain import builds
from dynoform.domain.jobs import Kind
from dynoform.store import jobs, output
from dynoform.store.builds import fail
from dynoform.store.releases import create_release, lock_app
from dynoform.store.session import Store
from dynoform.store.tables import AppSetup, AppSetupOutput, Build, Slug, WebhookDelivery
from tests.contract.addon_fixtures import at_work, provider, worker
from tests.contract.addon_provider import ProviderServer
from tests.contract.conftest import Person, path_of
from tests.contract.hooks import add, until
from tests.contract.receiver import Receiver

__all__ = ["provider", "worker"]
Files = dict[str, Any]


def tarball(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def ask(client: httpx.Client, nobody: httpx.Client) -> Callable[..., httpx.Response]:
    """Uploads a source with an app.json, or with other files, and asks for an app of it."""

    def make(manifest: Any = None, files: Files | None = None, caller: httpx.Client = client, **body: Any) -> Any:
        blob = caller.post("/sources").raise_for_status().json()["source_blob"]
        given = files if files is not None else {"app.json": manifest}
        nobody.put(path_of(blob["put_url"]), content=tarball(given)).raise_for_status()
        return caller.post("/app-setups", json={"source_blob": {"url": blob["get_url"]}, **body})

    return make


@pytest.fixture
def work(services: Services, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Does the setups' jobs that can be done now. No command is run, so no engine is asked."""
    monkeypatch.setattr(setup_job, "_LOOK_SECONDS", 0.05)
    nothing, logs, journal = cast("Any", None), cast("Any", services.logs), services.journal
    tools = Tools(services.configuration, services.store, services.vault, nothing, logs, journal)

    def run() -> None:
        while claim := jobs.take(services.store, "me", {Kind.SETUP}):
            SetupJob(tools, claim).run()

    return run


def info(client: httpx.Client, setup: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/app-setups/{setup['id']}").raise_for_status().json())


def end_build(store: Store, app_id: str, types: dict[str, str] | None, status: str | None = None) -> None:
    """The app's build ends as a builder writes it down: with a slug of these types, or failed."""
    claim = jobs.take(store, "builder", {Kind.BUILD})
    assert claim and str(claim.app_id) == app_id
    with store.transaction() as session:
        app = lock_app(session, claim.app_id)
        assert app
        build = session.get_one(Build, claim.id)
        jobs.finish(session, claim)
        if types is None:
            fail(session, build, "failed to compile Python app")
            return
        slug = Slug(id=uuid.uuid4(), app_id=app.id, image="registry/apps@sha256:0", size=1, checksum="SHA256:0")
        slug.stack, slug.process_types = "dynoform-13", types
        session.add(slug)
        made = create_release(session, app, description="Deploy", account_id=build.account_id, slug=slug)
        build.status, build.slug_id, build.release_id = builds.SUCCEEDED, slug.id, made.id
        made.status = status or made.status


def test_an_app_is_made_of_what_its_source_says(
    client: httpx.Client, services: Services, store: Store, ask: Callable[..., Any], work: Callable[[], None]
) -> None:
    manifest = {
        "env": {"GREETING": "Hej", "SECRET": {"generator": "secret"}, "NAME": {}, "LEFT": {"required": False}},
        "buildpacks": [{"url": "heroku/nodejs"}],
        "formation": {"web": {"quantity": 2, "size": "standard-2x"}, "worker": {"quantity": 1}},
        "success_url": "/welcome",
    }
    asked = ask(manifest, app={"name": "shop"}, overrides={"env": {"NAME": "Ann", "MORE": "yes"}})
    assert asked.status_code == 202
    setup = asked.json()
    assert setup["app"]["name"] == "shop" and client.get("/apps/shop").json()["id"] == setup["app"]["id"]
    assert setup["status"] == "pending" and setup["failure_message"] is None and setup["manifest_errors"] == []
    assert setup["build"] == {"id": None, "output_stream_url": None, "status": None}
    assert setup["postdeploy"] == {"exit_code": None, "output": None}
    assert setup["resolved_success_url"] is None
    work()
    config = client.get("/apps/shop/config-vars").json()
    assert len(config.pop("SECRET")) == 64
    assert config == {"GREETING": "Hej", "NAME": "Ann", "MORE": "yes"}
    building = info(client, setup)
    (build,) = client.get("/apps/shop/builds").json()
    assert building["build"]["id"] == build["id"] and building["build"]["status"] == "pending"
    assert building["build"]["output_stream_url"].split("?")[0] == build["output_stream_url"].split("?")[0]
    assert [one["url"] for one in build["buildpacks"]] == ["urn:buildpack:heroku/nodejs"]
    end_build(store, setup["app"]["id"], {"web": "serve", "worker": "work"})
    work()
    done = info(client, setup)
    assert (done["status"], done["build"]["status"]) == ("succeeded", "succeeded")
    assert done["resolved_success_url"] == f"{services.configuration.web_url('shop').rstrip('/')}/welcome"
    formation = {row["type"]: (row["quantity"], row["size"]) for row in client.get("/apps/shop/formation").json()}
    assert formation == {"web": (2, "Standard-2X"), "worker": (1, "Standard-1X")}
    described = [release["description"] for release in client.get("/apps/shop/releases").json()]
    assert described == ["Initial release", "Enable Logplex", "Set GREETING, SECRET, NAME, MORE config vars", "Deploy"]
    lines = services.logs.lines  # type: ignore[attr-defined]
    for line in (
        "app[api]: Set GREETING, SECRET, NAME, MORE config vars by user ann@example.com",
        "app[api]: Build started by user ann@example.com",
        "app[api]: Scaled to web@2:Standard-2X worker@1:Standard-1X by user ann@example.com",
    ):
        assert lines.count(line) == 1
    client.delete("/apps/shop").raise_for_status()
    kept = info(client, setup)
    assert (kept["status"], kept["build"]["status"]) == ("succeeded", "succeeded")


MISSING = "is required: give it a value in overrides.env"


@pytest.mark.parametrize(
    ("files", "message", "problems"),
    [
        ({"README": "nothing"}, "app.json not found", []),
        ({"app.json": "{"}, "app.json is invalid", ["is not JSON (Expecting property name"]),
        ({"app.json": {"env": {"A": {}}}}, "app.json is invalid", [f"env.A: {MISSING}"]),
        (
            {"app.json": {"addons": ["scheduler", "nothing:big"]}},
            "app.json is invalid",
            ["addons[1]: Couldn't find that add-on plan (nothing:big)."],
        ),
        (
            {"app.json": {"addons": [{"plan": "scheduler", "as": "lower"}]}},
            "app.json is invalid",
            ["addons[0]: Attachment name must start with an uppercase letter"],
        ),
        (
            {"heroku.yml": "setup: {addons: [{plan: nothing}]}\nbuild: {docker: {web: Dockerfile}}"},
            "app.json is invalid",
            ["heroku.yml: setup.addons[0]: Couldn't find that add-on plan (nothing)."],
        ),
        ({"../x": "out"}, "source: has a file named '../x'", []),
    ],
    ids=["none", "no-json", "required", "unknown-plan", "attachment", "heroku-yml", "hostile"],
)
def test_a_wrong_source_is_told_and_its_app_goes(
    client: httpx.Client,
    ask: Callable[..., Any],
    work: Callable[[], None],
    worker: Worker,
    files: Files,
    message: str,
    problems: list[str],
) -> None:
    from dynoform.store import addon_services

    with worker.store.transaction() as session:
        addon_services.register_own(session, worker.vault)
    setup = ask(files=files).raise_for_status().json()
    work()
    failed = info(client, setup)
    assert failed["status"] == "failed" and failed["failure_message"].startswith(message)
    assert len(failed["manifest_errors"]) == len(problems)
    assert all(found.startswith(told) for found, told in zip(failed["manifest_errors"], problems, strict=True))
    assert client.get(f"/apps/{setup['app']['name']}").status_code == 404
    assert client.get("/addons").json() == []


def test_a_build_waits_for_the_add_ons_and_has_their_config_vars(
    client: httpx.Client, ask: Callable[..., Any], work: Callable[[], None], worker: Worker, provider: ProviderServer
) -> None:
    setup = ask({"addons": [{"plan": "heroku-redis", "as": "CACHE"}]}).raise_for_status().json()
    with at_work(worker):
        work()
    app = setup["app"]["name"]
    (addon,) = client.get(f"/apps/{app}/addons").json()
    assert (addon["state"], addon["config_vars"]) == ("provisioned", ["CACHE_TLS_URL", "CACHE_URL"])
    assert "CACHE_URL" in client.get(f"/apps/{app}/config-vars").json()
    assert info(client, setup)["build"]["status"] == "pending"


def test_an_add_on_that_its_provider_refuses_fails_the_setup(
    client: httpx.Client, ask: Callable[..., Any], work: Callable[[], None], worker: Worker, provider: ProviderServer
) -> None:
    provider.replies.append((422, {"message": "no more room"}))
    setup = ask({"addons": ["heroku-redis"]}).raise_for_status().json()
    with at_work(worker):
        work()
    failed = info(client, setup)
    assert (failed["status"], failed["failure_message"]) == ("failed", "add-on: no more room")
    assert client.get(f"/apps/{setup['app']['name']}").status_code == 404


@pytest.mark.parametrize(
    ("types", "status", "message"),
    [
        (None, None, "build failed: failed to compile Python app"),
        ({"web": "serve"}, "failed", "the release command failed"),
        ({"worker": "work"}, None, "app.json is invalid"),
    ],
)
def test_what_comes_to_nothing_takes_its_app_with_it(
    client: httpx.Client,
    store: Store,
    ask: Callable[..., Any],
    work: Callable[[], None],
    types: dict[str, str] | None,
    status: str | None,
    message: str,
) -> None:
    setup = ask({"formation": {"web": {"quantity": 1}}}).raise_for_status().json()
    work()
    end_build(store, setup["app"]["id"], types, status)
    work()
    failed = info(client, setup)
    assert (failed["status"], failed["failure_message"]) == ("failed", message)
    assert failed["build"]["status"] == ("failed" if types is None else "succeeded")
    if message == "app.json is invalid":
        assert failed["manifest_errors"] == ["formation.web: Couldn't find that process type (web)."]
    assert client.get(f"/apps/{setup['app']['name']}").status_code == 404


def test_the_webhooks_of_a_failed_setups_app_are_told_that_it_goes(
    client: httpx.Client, store: Store, ask: Callable[..., Any], work: Callable[[], None], hooks: Receiver
) -> None:
    setup = ask({}, app={"name": "shop"}).raise_for_status().json()
    work()
    add(client, "shop", hooks.url, include=["api:app"], level="notify")
    shown = client.get("/apps/shop").json()
    end_build(store, setup["app"]["id"], None)
    work()
    (told,) = hooks.wait(1)
    assert (told.event["action"], told.event["actor"]["email"]) == ("destroy", "ann@example.com")
    assert told.event["data"] == shown

    def written_down() -> bool:
        with store.transaction() as session:
            return session.scalars(select(WebhookDelivery.next_attempt_at)).all() == [None]

    until(written_down)


def test_a_builder_that_dies_leaves_the_work_to_another(
    client: httpx.Client, services: Services, store: Store, ask: Callable[..., Any], work: Callable[[], None]
) -> None:
    """Config vars are set before the build is asked for: killed in between, it is not done twice."""
    setup = ask({"env": {"SECRET": {"generator": "secret"}}}).raise_for_status().json()
    nothing, logs = cast("Any", None), cast("Any", services.logs)
    tools = Tools(services.configuration, store, services.vault, nothing, logs, services.journal)
    claim = jobs.take(store, "dies", {Kind.SETUP})
    assert claim
    dying = SetupJob(tools, claim)
    dying._prepare(dying._setup())
    first = client.get(f"/apps/{setup['app']['name']}/config-vars").json()
    dying.abandon()
    work()
    assert client.get(f"/apps/{setup['app']['name']}/config-vars").json() == first
    assert len(client.get(f"/apps/{setup['app']['name']}/builds").json()) == 1
    work()
    assert len(client.get(f"/apps/{setup['app']['name']}/builds").json()) == 1


def test_an_app_that_is_destroyed_meanwhile_ends_its_setup(
    client: httpx.Client, ask: Callable[..., Any], work: Callable[[], None]
) -> None:
    setup = ask({}).raise_for_status().json()
    client.delete(f"/apps/{setup['app']['name']}").raise_for_status()
    work()
    failed = info(client, setup)
    assert (failed["status"], failed["failure_message"]) == ("failed", "the app was destroyed")


def test_what_the_script_said_is_shown(client: httpx.Client, store: Store, ask: Callable[..., Any]) -> None:
    setup = ask({}).raise_for_status().json()
    with store.transaction() as session:
        for piece in ("migrating\n", "done\n"):
            output.append(session, AppSetupOutput, uuid.UUID(setup["id"]), piece)
            session.flush()
        session.get_one(AppSetup, uuid.UUID(setup["id"])).postdeploy_exit_code = 0
    assert info(client, setup)["postdeploy"] == {"exit_code": 0, "output": "migrating\ndone\n"}


def test_overrides_are_encrypted_at_rest(store: Store, ask: Callable[..., Any]) -> None:
    setup = ask({}, overrides={"env": {"TOKEN": "very-secret"}}).raise_for_status().json()
    with store.transaction() as session:
        assert b"very-secret" not in session.get_one(AppSetup, uuid.UUID(setup["id"])).overrides


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"app": {"name": "UPPER"}}, "Name must start with a letter"),
        ({"app": {"stack": "cedar"}}, "Couldn't find that stack (cedar)."),
        ({"app": {"organization": "nobodys"}}, "Couldn't find that team."),
        ({"overrides": {"env": {"A B": "1"}}}, "Config var name 'A B' is invalid"),
        ({"overrides": {"buildpacks": [{"url": "nothing"}]}}, "'nothing' is not a buildpack"),
        ({"source_blob": {"url": "http://example.com/a.tgz"}}, "source_blob.url must be the get_url of a source"),
    ],
)
def test_what_cannot_be_is_refused_before_an_app_is_made(
    client: httpx.Client, ask: Callable[..., Any], body: dict[str, Any], message: str
) -> None:
    answer = ask({}, **body)
    assert answer.status_code in (404, 422)
    assert answer.json()["message"].startswith(message)
    assert client.get("/apps").json() == []


def test_an_app_can_be_set_up_in_a_team(client: httpx.Client, ask: Callable[..., Any]) -> None:
    client.post("/teams", json={"name": "makers"}).raise_for_status()
    setup = ask({}, app={"organization": "makers", "locked": True}).raise_for_status().json()
    app = client.get(f"/teams/apps/{setup['app']['name']}").json()
    assert (app["team"]["name"], app["locked"]) == ("makers", True)


def test_a_setup_is_for_whoever_asked_for_it(ask: Callable[..., Any], stranger: httpx.Client, person: Person) -> None:
    setup = ask({}).raise_for_status().json()
    answer = stranger.get(f"/app-setups/{setup['id']}")
    assert (answer.status_code, answer.json()["message"]) == (404, "Couldn't find that app setup.")
    assert stranger.get("/app-setups/nothing").status_code == 404
    reader = person("carl", "read", "write")
    assert ask({}, caller=reader).status_code == 403, "it sets config vars and runs a command"
