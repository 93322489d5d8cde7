"""``docker push`` and ``pull`` of the real engine through the API's registry, and the release of what was pushed."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import docker
import httpx
import pytest
from docker.errors import APIError, ImageNotFound

from tests.integration.build_api import KEY, client_of, serving
from tests.integration.build_platform import LABEL, build_image, running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
LOGIN = {"username": "_", "password": KEY}


@dataclass
class Platform:
    """The API in this process, its address, and the engine that pushes to it."""

    engine: docker.DockerClient
    address: str
    client: httpx.Client

    def build(self, app: str, process_type: str, *instructions: str) -> str:
        """An image of a user's, named as the CLI does; returns its id."""
        name = f"{self.address}/{app}/{process_type}"
        text = "\n".join(["FROM scratch", *instructions, f"LABEL {LABEL}= marker={uuid.uuid4().hex}"])
        image, _ = self.engine.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True, forcerm=True)
        return str(image.id)

    def push(self, app: str, process_type: str, login: dict[str, str] | None = None) -> str:
        """``docker push``; returns its output."""
        name = f"{self.address}/{app}/{process_type}"
        events = self.engine.images.push(name, tag="latest", auth_config=login or LOGIN, stream=True, decode=True)
        return "\n".join(str(event.get("error") or event.get("status")) for event in events)


@pytest.fixture(scope="module")
def platform(base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    engine = docker.from_env(timeout=120)
    nouns = ("registry", "postgres", "control-plane", "stack-13")
    images = {noun: build_image(engine, noun, base_image) for noun in nouns} | {"stack-13-build": ""}
    folder = tmp_path_factory.mktemp("platform")
    with running(images, folder) as below, serving(below) as url, client_of(url) as client:
        # The engine takes a registry on the loopback without TLS: the router, which has it, is tested elsewhere.
        yield Platform(engine, url.removeprefix("http://"), client)
    for image in engine.images.list(filters={"label": LABEL}):
        engine.images.remove(image.id, force=True)
    engine.close()


@pytest.fixture
def app(platform: Platform) -> str:
    """A new container app."""
    name = f"app-{uuid.uuid4().hex[:8]}"
    platform.client.post("/apps", json={"name": name, "stack": "container"}).raise_for_status()
    return name


def test_the_engine_pushes_what_can_be_released_and_pulled(platform: Platform, app: str) -> None:
    image = platform.build(
        app, "web", "COPY --from=dynoform-test/stack-13:build /usr/share /usr/share", 'CMD ["/usr/bin/env"]'
    )
    output = platform.push(app, "web")
    assert "digest: sha256:" in output, output
    name = f"{platform.address}/{app}/web"
    body = {"updates": [{"type": "web", "docker_image": image}]}
    (web,) = platform.client.patch(f"/apps/{app}/formation", json=body).raise_for_status().json()
    assert (web["command"], web["quantity"]) == ("/usr/bin/env", 1)
    # The dyno's host pulls it from the platform's registry, by digest, with its own certificate.
    release = platform.client.get(f"/apps/{app}/releases").json()[-1]
    slug = platform.client.get(f"/apps/{app}/slugs/{release['slug']['id']}").json()
    place = slug["blob"]["url"].removeprefix("docker://")
    platform.engine.images.remove(name, force=True)
    assert platform.engine.images.pull(place).id == image
    platform.engine.images.remove(place, force=True)
    assert platform.engine.images.pull(name, tag="latest", auth_config=LOGIN).id == image


def test_layers_that_are_there_are_not_sent_again(platform: Platform, app: str) -> None:
    copy = "COPY --from=dynoform-test/stack-13:build /etc /etc"
    platform.build(app, "web", copy, 'CMD ["one"]')
    platform.push(app, "web")
    platform.build(app, "web", copy, 'CMD ["two"]')
    again = platform.push(app, "web")
    assert "Layer already exists" in again, again
    platform.build(app, "worker", copy, 'CMD ["three"]')
    other = platform.push(app, "worker")
    assert f"Mounted from {app}/web" in other, other


def test_the_engine_is_told_why_a_push_is_refused(platform: Platform, app: str) -> None:
    platform.build(app, "web", 'CMD ["x"]')
    wrong = platform.push(app, "web", {"username": "_", "password": "wrong"})
    assert "Invalid credentials provided." in wrong or "unauthorized" in wrong
    platform.build("no-such-app", "web", 'CMD ["x"]')
    assert "Couldn't find that app." in platform.push("no-such-app", "web")
    with pytest.raises((APIError, ImageNotFound)):
        platform.engine.images.pull(f"{platform.address}/no-such-app/web", tag="latest", auth_config=LOGIN)


@pytest.mark.parametrize("password", [KEY, "wrong"])
def test_docker_login_takes_the_api_key(platform: Platform, password: str) -> None:
    def login() -> object:
        return platform.engine.api.login("_", password, registry=f"http://{platform.address}", reauth=True)

    if password == KEY:
        assert login()
    else:
        with pytest.raises(APIError, match=r"401|nauthorized"):
            login()
