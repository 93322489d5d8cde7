"""Container apps as their users have them: ``docker push``, ``heroku container:*`` and a web page out of the image."""

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.conftest import Platform, eventually

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

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(ROUTER)
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield
    listener.close()


@pytest.fixture(scope="module")
def folder(platform: Platform, front: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A user's folder with a Dockerfile, and a ``docker`` that calls the registry by the name that the engine knows."""
    made = tmp_path_factory.mktemp("container-app")
    api = next(one for one in platform.engine.containers.list(filters={"name": "test_python_web-1"}))
    (made / "Dockerfile").write_text(DOCKERFILE.format(base=api.image.id))
    (made / "serve.py").write_text(SERVE)
    (made / "home").mkdir()
    (made / "bin").mkdir()
    shim = made / "bin" / "docker"
    rename = f'set -- "$@" "$(printf %s "$word" | sed s,registry.localhost,{REGISTRY},)"'
    shim.write_text(
        f'#!/bin/sh\nfor word; do shift; {rename}; done\nexec {shutil.which("docker")} "$@"\n',
    )
    shim.chmod(0o755)
    hosts = Path("/etc/hosts").read_text()
    (made / "hosts").write_text(f"{FRONT} api.localhost registry.localhost\n{hosts}")
    platform.api.post("/apps", json={"name": APP, "stack": "container"}).raise_for_status()
    platform.api.patch(f"/apps/{APP}/config-vars", json={"GREETING": "Hello"}).raise_for_status()
    yield made
    platform.api.delete(f"/apps/{APP}").raise_for_status()


def heroku(platform: Platform, folder: Path, *words: str) -> str:
    """The official CLI, in a mount namespace where its hosts file is ours; fails unless it succeeds."""
    program = shutil.which("heroku")
    if program is None:
        pytest.skip("no heroku: npm install --global heroku")
    kept = {name: value for name, value in platform.environment.items() if name != "HEROKU_HOST"}
    environment = {
        **os.environ,
        **kept,
        "HOME": str(folder / "home"),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "HEROKU_HOST": "localhost",
        # The CLI sends its token to a few host names only, and api.localhost is none of them.
        "HEROKU_HEADERS": f'{{"authorization": "Bearer {kept["HEROKU_API_KEY"]}"}}',
    }
    script = f'mount --bind {folder / "hosts"} /etc/hosts && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", program, *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_an_image_is_pushed_released_and_serves(platform: Platform, folder: Path) -> None:
    assert "Login Succeeded" in heroku(platform, folder, "container:login")
    pushed = heroku(platform, folder, "container:push", "web", "-a", APP)
    assert "Your image has been successfully pushed." in pushed
    heroku(platform, folder, "container:release", "web", "-a", APP)
    release = platform.api.get(f"/apps/{APP}/releases").json()[-1]
    assert release["description"].startswith("Deployed web (")
    eventually(lambda: platform.serves(APP), 60, "the image serves")
    assert platform.app(APP).text == "Hello from web.1 as 1000\n"


def test_a_config_var_restarts_it_and_is_in_no_inspection(platform: Platform, folder: Path) -> None:
    platform.api.patch(f"/apps/{APP}/config-vars", json={"GREETING": "Good-day-7f"}).raise_for_status()
    eventually(lambda: "Good-day-7f" in platform.app(APP).text, 60, "the new value is served")
    assert all("Good-day-7f" not in str(container.attrs) for container in platform.containers(APP))


def test_the_image_can_be_pulled_again(platform: Platform, folder: Path) -> None:
    name = f"{REGISTRY}/{APP}/web"
    image = platform.engine.images.get(name).id
    platform.engine.images.remove(name, force=True)
    heroku(platform, folder, "container:pull", "web", "-a", APP)
    assert platform.engine.images.get(name).id == image


def test_the_type_is_taken_away(platform: Platform, folder: Path) -> None:
    heroku(platform, folder, "container:rm", "web", "-a", APP)
    assert platform.api.get(f"/apps/{APP}/formation").json() == []
    eventually(lambda: not platform.containers(APP), 60, "its dynos have gone")
