"""Container apps as their users have them: ``docker push``, ``heroku container:*`` and a web page out of the image."""

import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests import heroku_cli
from tests.e2e.conftest import Platform, eventually
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2400)]
APP = "e2e-containers"
ROUTER = ("127.0.0.1", 18443)
FRONT = "127.0.0.44"
"""Where the CLI finds API and registry on port 443: with a bare host name it asks nowhere else."""
REGISTRY = f"localhost:{ROUTER[1]}"
"""As the engine reaches it: names under localhost are none to its resolver, and the loopback needs no trust."""
DOCKERFILE = """
FROM {base}
USER root
COPY serve.py /serve.py
ENTRYPOINT []
CMD exec python3 /serve.py $PORT
"""
SHIM = """#!/bin/sh
skip=
for word; do
    shift
    case $word in
    --provenance | --sbom) skip=value ;;
    *)
        [ -n "$skip" ] || set -- "$@" "$(printf %s "$word" | sed s,registry.localhost,{registry},)"
        skip=
        ;;
    esac
done
exec {docker} "$@"
"""
SERVE = """
import http.server, os, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"{os.environ['GREETING']} from {os.environ['DYNO']} as {os.getuid()}\\n"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())
print("serving", flush=True)
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
"""


@pytest.fixture(scope="module")
def front() -> Iterator[None]:
    """Port 443 of an address of ours leads to the router."""
    listener = socket.create_server((FRONT, 443))

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def join(client: socket.socket) -> None:
        with client, suppress(OSError), socket.create_connection(ROUTER) as server:
            back = threading.Thread(target=copy, args=(server, client), daemon=True)
            back.start()
            copy(client, server)
            back.join()

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=join, args=[client], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield
    listener.close()


@pytest.fixture(scope="module")
def folder(platform: Platform, front: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with a Dockerfile, and a ``docker`` that calls the registry by the name that the engine knows.

    It also takes away the CLI's two options for buildx, which docker has as a plugin, or not.
    """
    made = tmp_path_factory.mktemp("container-app")
    dyno = eventually(lambda: platform.only_dyno("python"), 60, "one dyno of python")
    (made / "Dockerfile").write_text(DOCKERFILE.format(base=dyno.image.id))
    (made / "serve.py").write_text(SERVE)
    (made / "home").mkdir()
    (made / "bin").mkdir()
    shim = made / "bin" / "docker"
    shim.write_text(SHIM.format(registry=REGISTRY, docker=shutil.which("docker")))
    shim.chmod(0o755)
    hosts = Path("/etc/hosts").read_text()
    (made / "hosts").write_text(f"{FRONT} api.localhost registry.localhost\n{hosts}")
    platform.api.post("/apps", json={"name": APP, "stack": "container"}).raise_for_status()
    platform.api.patch(f"/apps/{APP}/config-vars", json={"GREETING": "Hello"}).raise_for_status()
    yield made
    platform.api.delete(f"/apps/{APP}").raise_for_status()


@pytest.fixture
def heroku(platform: Platform, folder: Path) -> HerokuCLI:
    """The official CLI, in a mount namespace where its hosts file is ours."""
    environment = {
        **platform.environment,
        "HEROKU_HOST": "localhost",
        # The CLI sends its token to a few host names only, and api.localhost is none of them.
        "HEROKU_HEADERS": f'{{"authorization": "Bearer {platform.environment["HEROKU_API_KEY"]}"}}',
    }
    script = f'mount --bind {folder / "hosts"} /etc/hosts && exec "$@"'
    before = ("unshare", "-m", "sh", "-c", script, "sh")
    return HerokuCLI(heroku_cli.bring(), folder / "home", environment, before, folder / "bin")


def releases(platform: Platform) -> list[dict[str, Any]]:
    """The app's releases, the newest last."""
    return list(platform.api.get(f"/apps/{APP}/releases").json())


@covers("container:login", "container:push web -a dockerapp", "container:release web -a dockerapp")
def test_an_image_is_pushed_released_and_serves(heroku: HerokuCLI, platform: Platform, folder: Path) -> None:
    assert "Login Succeeded" in heroku("container:login").text
    pushed = heroku(f"container:push web -a {APP}", cwd=folder, seconds=300)
    assert "Your image has been successfully pushed." in pushed.text
    heroku(f"container:release web -a {APP}", seconds=300)
    assert releases(platform)[-1]["description"].startswith("Deployed web (")
    eventually(lambda: platform.serves(APP), 60, "the image serves")
    assert platform.app(APP).text == "Hello from web.1 as 1000\n"


@covers("container:push --recursive -a dockerapp")
def test_every_named_dockerfile_is_pushed(heroku: HerokuCLI, platform: Platform, folder: Path) -> None:
    for process_type in ("worker", "clock"):
        (folder / "types" / process_type).mkdir(parents=True)
        base = (folder / "Dockerfile").read_text().splitlines()[1]
        (folder / "types" / process_type / f"Dockerfile.{process_type}").write_text(f"{base}\nCMD sleep 600\n")
    pushed = heroku(f"container:push --recursive -a {APP}", cwd=folder / "types", seconds=300)
    assert "Your images have been successfully pushed." in pushed.text
    heroku(f"container:release worker clock -a {APP}", seconds=300)
    formation = {row["type"] for row in platform.api.get(f"/apps/{APP}/formation").json()}
    assert formation == {"web", "worker", "clock"}
    heroku(f"container:rm worker clock -a {APP}")


def test_a_config_var_restarts_it_and_is_in_no_inspection(platform: Platform, folder: Path) -> None:
    platform.api.patch(f"/apps/{APP}/config-vars", json={"GREETING": "Good-day-7f"}).raise_for_status()
    eventually(lambda: "Good-day-7f" in platform.app(APP).text, 60, "the new value is served")
    assert all("Good-day-7f" not in str(container.attrs) for container in platform.containers(APP))


def test_the_image_can_be_pulled_again(heroku: HerokuCLI, platform: Platform) -> None:
    name = f"{REGISTRY}/{APP}/web"
    image = platform.engine.images.get(name).id
    platform.engine.images.remove(name, force=True)
    heroku(f"container:pull web -a {APP}", seconds=300)
    assert platform.engine.images.get(name).id == image


def test_the_type_is_taken_away(heroku: HerokuCLI, platform: Platform) -> None:
    heroku(f"container:rm web -a {APP}")
    assert platform.api.get(f"/apps/{APP}/formation").json() == []
    eventually(lambda: not platform.containers(APP), 60, "its dynos have gone")
