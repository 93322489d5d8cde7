"""One platform for all end-to-end tests: the stack ``test``, made by ``bin/dynoform up`` and removed at the end."""

import json
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
import requests

from tests import heroku_cli, turns
from tests.heroku_cli import HerokuCLI

ROOT = Path(__file__).resolve().parents[2]
STACK = "test"
LABEL = {"label": f"dynoform.stack={STACK}"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What restarts the engine is first: later, there are others who need it. What takes the platform away is last."""
    items.sort(key=lambda item: ("restarts_engine" not in item.keywords, item.path.name == "test_platform.py"))


def pytest_runtest_logfinish() -> None:
    """After the first test, whatever became of it."""
    turns.end()


@dataclass(frozen=True)
class Run:
    """A finished command: exit code, standard output and error, seconds."""

    code: int
    out: str
    err: str
    seconds: float


def dynoform(*words: str, timeout: float = 1800) -> Run:
    """Run ``bin/dynoform`` as a user does, without a terminal."""
    began = time.monotonic()
    done = subprocess.run([ROOT / "bin/dynoform", *words], cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    return Run(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def eventually(check: Callable[[], Any], within: float, what: str) -> Any:
    """What ``check`` gives as soon as it is truthy; fails after ``within`` seconds, saying what was awaited."""
    ends, last = time.monotonic() + within, None
    while time.monotonic() < ends:
        try:
            if value := check():
                return value
        except (httpx.HTTPError, requests.RequestException) as error:  # the engine's are among the latter
            last = error
        time.sleep(0.3)
    raise AssertionError(f"{what}: not within {within:g} s (last: {last})")


class Platform:
    """The running stack, as its operator and its users see it."""

    def __init__(self) -> None:
        lines = dynoform("env", "--stack", STACK).out.splitlines()
        exported = dict(line.removeprefix("export ").split("=", 1) for line in lines if line.startswith("export "))
        self.environment = {key: value.strip("'\"") for key, value in exported.items()}
        self.trust = ssl.create_default_context(cafile=self.environment["DYNOFORM_CA"])
        self.api = httpx.Client(
            base_url=self.environment["HEROKU_HOST"],
            headers={
                "Accept": "application/vnd.heroku+json; version=3",
                "Authorization": f"Bearer {self.environment['HEROKU_API_KEY']}",
            },
            verify=self.trust,
            timeout=60,  # the API itself waits for a database for 25 s
        )
        self.engine = docker.from_env(timeout=120)

    def close(self) -> None:
        """Hang up on the API and the engine."""
        self.api.close()
        self.engine.close()

    def app(self, name: str, path: str = "/", *, secure: bool = False) -> httpx.Response:
        """GET from an app through the router. By address: not every resolver knows names under localhost."""
        host = f"{name}.localhost"
        url = f"https://127.0.0.1:18443{path}" if secure else f"http://127.0.0.1:18080{path}"
        with httpx.Client(verify=self.trust, timeout=60) as client:
            return client.get(url, headers={"Host": host}, extensions={"sni_hostname": host})

    def serves(self, name: str) -> bool:
        """Whether the app answers 200."""
        return self.app(name).status_code == 200

    def dynos(self, app: str) -> list[dict[str, Any]]:
        """The app's dynos, as the API lists them."""
        answer = self.api.get(f"/apps/{app}/dynos")
        answer.raise_for_status()
        return list(answer.json())

    def containers(self, app: str) -> list[Any]:
        """Running containers of the app's dynos on this host."""
        app_id = self.api.get(f"/apps/{app}").raise_for_status().json()["id"]
        filters = {"label": [f"dynoform.app={app_id}", "dynoform.dyno"], "status": "running"}
        return list(self.engine.containers.list(filters=filters, ignore_removed=True))

    def only_dyno(self, app: str) -> Any:
        """The container of the app's one dyno; None while there are others, for instance of the release before."""
        found = self.containers(app)
        return found[0] if len(found) == 1 else None


def provision(platform: Platform, app: str, **more: Any) -> dict[str, Any]:
    """A database of an app, provisioned, without the CLI."""
    body = {"plan": "heroku-postgresql:essential-0", **more}
    made = platform.api.post(f"/apps/{app}/addons", json=body).raise_for_status().json()
    url = f"/apps/{app}/addons/{made['id']}"
    eventually(
        lambda: platform.api.get(url).raise_for_status().json()["state"] == "provisioned",
        300,
        "the database is provisioned",
    )
    return dict(made)


@pytest.fixture(scope="session")
def first_up() -> Iterator[Run]:
    """The run that made the platform; left-overs of an earlier, killed session are removed first."""
    if os.geteuid() != 0:
        pytest.skip("root is missing: the engine and the firewall need it")
    cleaned = dynoform("down", "--stack", STACK, "--purge", "--yes")
    assert cleaned.code == 0, f"{cleaned.out}\n{cleaned.err}"
    run = dynoform("up", "--stack", STACK, "--yes")
    assert run.code == 0, f"{run.out}\n{run.err}"
    yield run
    gone = dynoform("down", "--stack", STACK, "--purge", "--yes")
    assert gone.code == 0, f"{gone.out}\n{gone.err}"


@pytest.fixture(scope="session")
def platform(first_up: Run) -> Iterator[Platform]:
    """The platform, up."""
    made = Platform()
    yield made
    made.close()


@pytest.fixture
def status() -> Callable[[], dict[str, Any]]:
    """What ``bin/dynoform status --json`` says."""
    return lambda: dict(json.loads(dynoform("status", "--stack", STACK, "--json").out))


@pytest.fixture(scope="module")
def cli(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> HerokuCLI:
    """The CLI with what ``bin/dynoform env`` gives."""
    return HerokuCLI(heroku_cli.bring(), tmp_path_factory.mktemp("home"), platform.environment)
