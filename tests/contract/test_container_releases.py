"""Releases of pushed images: ``heroku container:release`` and ``container:rm``, and the stack ``container``."""

import json
import uuid
from dataclasses import replace

import httpx
import pytest

from dynoform.api.services import Services
from dynoform.domain.images import OCI_MANIFEST
from dynoform.store.session import Store
from dynoform.store.tables import Account, Slug
from tests.contract.conftest import OPERATOR_KEY, make_client, serve
from tests.contract.container_registry import (
    address,
    digest_of,
    docker,
    engine,
    error_of,
    push,
    push_blob,
    put_manifest,
    release,
    services,
    slug_of,
    update,
)
from tests.postgres import free_port

__all__ = ["address", "engine", "services"]


def test_releasing_an_image_makes_the_app_a_container_app(
    client: httpx.Client, engine: httpx.Client, services: Services, app: str
) -> None:
    manifest, image = push(engine, f"{app}/web", {"Entrypoint": ["/app/serve"], "Cmd": ["--name", "two words"]})
    answer = release(client, app, update("web", image))
    assert answer.status_code == 200, answer.text
    (web,) = answer.json()
    assert (web["type"], web["quantity"], web["command"]) == ("web", 1, "/app/serve --name 'two words'")
    shown = client.get(f"/apps/{app}").json()
    assert (shown["stack"]["name"], shown["build_stack"]["name"]) == ("container", "container")
    current = client.get(f"/apps/{app}/releases", headers={"Range": "version ..; order=desc,max=1"}).json()[0]
    short = image.removeprefix("sha256:")[:12]
    assert (current["description"], current["status"], current["version"]) == (
        f"Deployed web ({short})",
        "succeeded",
        3,
    )
    slug = slug_of(client, app)
    identifier = shown["id"]
    address = services.registry.address
    assert slug["blob"]["url"] == f"docker://{address}/containers/{identifier}/web@{manifest}"
    assert (slug["stack"]["name"], slug["size"], slug["commit"]) == ("container", 1000, None)
    assert f"app[api]: Deployed web ({short}) by user ann@example.com" in services.logs.lines  # type: ignore[attr-defined]


def test_each_process_type_has_an_image_of_its_own(
    client: httpx.Client, engine: httpx.Client, store: Store, app: str
) -> None:
    _, web_image = push(engine, f"{app}/web", {"Cmd": ["/bin/sh", "-c", "serve -p $PORT"]})
    worker, worker_image = push(engine, f"{app}/worker", {"Cmd": ["work"]})
    answer = release(client, app, update("web", web_image), update("worker", worker_image))
    assert [(row["type"], row["quantity"]) for row in answer.json()] == [("web", 1), ("worker", 0)]
    short = [image.removeprefix("sha256:")[:12] for image in (web_image, worker_image)]
    descriptions = [row["description"] for row in client.get(f"/apps/{app}/releases").json()]
    assert descriptions[-1] == f"Deployed web ({short[0]}), worker ({short[1]})"
    again, again_image = push(engine, f"{app}/web", {"Cmd": ["serve"]})
    release(client, app, update("web", again_image)).raise_for_status()
    slug = slug_of(client, app)
    assert slug["process_types"] == {"web": "serve", "worker": "work"}
    with store.transaction() as session:
        row = session.get_one(Slug, uuid.UUID(slug["id"]))
        assert [row.image_of(name).rpartition("@")[2] for name in ("web", "worker")] == [again, worker]
    client.post(f"/apps/{app}/releases", json={"release": "3"}).raise_for_status()
    assert slug_of(client, app)["process_types"]["web"] == "/bin/sh -c 'serve -p $PORT'"


def test_a_release_keeps_the_images_of_one_whose_command_runs(
    client: httpx.Client, engine: httpx.Client, store: Store, app: str
) -> None:
    images = {name: push(engine, f"{app}/{name}", {"Cmd": [name]})[1] for name in ("web", "release", "worker")}
    (web, _) = release(client, app, update("web", images["web"]), update("release", images["release"])).json()
    assert (web["type"], web["quantity"], web["command"]) == ("web", 0, "")
    (worker,) = release(client, app, update("worker", images["worker"])).json()
    assert (worker["type"], worker["quantity"]) == ("worker", 0)
    assert slug_of(client, app)["process_types"] == {name: name for name in images}
    newer, newer_image = push(engine, f"{app}/web", {"Cmd": ["newer"]})
    release(client, app, update("web", newer_image)).raise_for_status()
    release(client, app, update("worker", images["worker"])).raise_for_status()
    slug = slug_of(client, app)
    assert slug["process_types"] == {"web": "newer", "release": "release", "worker": "worker"}
    with store.transaction() as session:
        assert session.get_one(Slug, uuid.UUID(slug["id"])).images["web"].endswith(f"/web@{newer}")
    assert [row["status"] for row in client.get(f"/apps/{app}/releases").json()[2:]] == ["pending"] * 3


def test_the_same_image_again_is_no_release(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    _, image = push(engine, f"{app}/web")
    for _ in range(2):
        assert release(client, app, update("web", image)).status_code == 200
    assert len(client.get(f"/apps/{app}/releases").json()) == 3


def test_a_type_can_be_taken_away(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    images = {name: push(engine, f"{app}/{name}")[1] for name in ("web", "worker")}
    release(client, app, *(update(name, image) for name, image in images.items())).raise_for_status()
    answer = client.patch(f"/apps/{app}/formation/worker", json={"docker_image": None})
    assert (answer.status_code, answer.json()["type"], answer.json()["quantity"]) == (200, "worker", 0)
    assert [row["type"] for row in client.get(f"/apps/{app}/formation").json()] == ["web"]
    assert client.get(f"/apps/{app}/releases").json()[-1]["description"] == "Removed worker"
    again = client.patch(f"/apps/{app}/formation/worker", json={"docker_image": None})
    assert (again.status_code, again.json()["message"]) == (422, "Couldn't find that process type (worker).")
    client.patch(f"/apps/{app}/formation/web", json={"docker_image": None}).raise_for_status()
    assert client.get(f"/apps/{app}/formation").json() == []


def test_an_image_can_be_released_and_scaled_in_one_call(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    _, image = push(engine, f"{app}/web")
    (web,) = release(client, app, update("web", image) | {"quantity": 3, "size": "Standard-2X"}).json()
    assert (web["quantity"], web["size"]) == (3, "Standard-2X")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("sha256:" + "0" * 64, "Couldn't find the image 000000000000 of web. Push it with heroku container:push"),
        ("latest", "docker_image must be an image's id: sha256: and 64 hexadecimal digits."),
        ("sha256:" + "G" * 64, "docker_image must be an image's id"),
    ],
)
def test_an_image_that_was_not_pushed_is_refused(client: httpx.Client, app: str, image: str, message: str) -> None:
    answer = release(client, app, update("web", image))
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(message)
    assert len(client.get(f"/apps/{app}/releases").json()) == 2


def test_an_image_under_another_tag_is_found(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    _, image = push(engine, f"{app}/web", {"Cmd": ["one"]}, tag="v1")
    push(engine, f"{app}/web", {"Cmd": ["two"]})
    assert release(client, app, update("web", image)).json()[0]["command"] == "one"


def test_another_apps_image_cannot_be_released(
    stranger: httpx.Client, engine: httpx.Client, client: httpx.Client, app: str
) -> None:
    _, image = push(engine, f"{app}/web")
    stranger.post("/apps", json={"name": "bobs-app"}).raise_for_status()
    assert release(stranger, "bobs-app", update("web", image)).status_code == 422
    assert release(stranger, app, update("web", image)).status_code == 404


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"os": "linux", "config": {}}, "The image for web has no CMD. Add one to its Dockerfile, then push it again."),
        ({"os": "windows", "config": {"Cmd": ["x"]}}, "The image for web is not made for Linux."),
        ({"os": "linux", "config": {"Cmd": "x"}}, "The image for web has no readable manifest or config."),
        ({"os": "linux", "config": {"Cmd": ["\0"]}}, "The image for web has no readable manifest or config."),
        (
            {"os": "linux", "config": {"Cmd": ["x"], "Labels": {"a": "b", "dynoform.dyno-id": "c"}}},
            "The image for web has the label 'dynoform.dyno-id', which only the platform gives. Build it without,",
        ),
        (
            {"os": "linux", "config": {"Cmd": ["x"], "Labels": {"com.docker.swarm.service.name": "local_postgres"}}},
            "The image for web has the label 'com.docker.swarm.service.name', which only the platform gives.",
        ),
        (
            {"os": "linux", "config": {"Cmd": ["x"], "Labels": 1}},
            "The image for web has no readable manifest or config.",
        ),
        ({"os": "linux", "config": [1]}, "The image for web has no readable manifest or config."),
        ([], "The image for web has no CMD."),
    ],
)
def test_an_image_that_cannot_run_is_not_released(
    client: httpx.Client, engine: httpx.Client, app: str, config: object, message: str
) -> None:
    body = json.dumps(config).encode()
    push_blob(engine, f"{app}/web", body)
    manifest = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": "application/json", "size": len(body), "digest": digest_of(body)},
    }  # fmt: skip
    pushed = put_manifest(engine, f"{app}/web", json.dumps(manifest).encode(), "latest", OCI_MANIFEST)
    assert pushed.status_code == 201, pushed.text
    answer = release(client, app, update("web", digest_of(body)))
    assert (answer.status_code, answer.json()["message"].startswith(message)) == (422, True), answer.text


def test_a_registry_that_is_away_is_said_so(services: Services, operator: Account) -> None:
    away = replace(services, configuration=replace(services.configuration, registry_port=free_port()))
    with serve(away) as url, docker(url) as engine, make_client(url, OPERATOR_KEY) as client:
        client.post("/apps", json={"name": "myapp"}).raise_for_status()
        answer = engine.get("/v2/myapp/web/manifests/latest")
        assert (answer.status_code, error_of(answer)) == (503, "UNAVAILABLE")
        released = release(client, "myapp", update("web", "sha256:" + "0" * 64))
        assert (released.status_code, released.json()["id"]) == (503, "unavailable")


def test_a_stack_is_chosen_for_the_next_deploy(client: httpx.Client, engine: httpx.Client, app: str) -> None:
    def stacks() -> tuple[str, str]:
        shown = client.get(f"/apps/{app}").json()
        return shown["stack"]["name"], shown["build_stack"]["name"]

    client.patch(f"/apps/{app}", json={"build_stack": "container"}).raise_for_status()
    assert stacks() == ("container", "container"), "an app that was never deployed changes at once"
    _, image = push(engine, f"{app}/web")
    release(client, app, update("web", image)).raise_for_status()
    stack = next(each for each in client.get("/stacks").json() if each["default"])
    client.patch(f"/apps/{app}", json={"build_stack": stack["id"]}).raise_for_status()
    assert stacks() == ("container", "dynoform-13")
    client.patch(f"/apps/{app}/config-vars", json={"A": "1"}).raise_for_status()
    assert stacks() == ("container", "dynoform-13"), "a config var is no deploy"
    made = client.post("/apps", json={"name": "other-app", "stack": "container"}).json()
    assert made["stack"]["name"] == "container"
