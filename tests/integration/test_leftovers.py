"""What a purge without an engine, or a lost state, leaves there: found by the next command, and gone after it."""

import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest
from docker import from_env

from tests.integration import removal
from tests.unit.cli.checkout import Checkout, checkout

__all__ = ["checkout"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
STACK = "forgotten"
"""Not what others call theirs that ask the same engine."""
LABEL = f"dynoform.stack={STACK}"
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


def docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def there(kind: str) -> list[str]:
    return docker(kind, "ls", "--quiet", "--filter", f"label={LABEL}").split()


@pytest.fixture
def left(checkout: Checkout, base_image: str) -> Iterator[None]:
    """A service of a stack that nobody has a state of, with a volume that it uses."""
    checkout.rename(STACK)
    clear()  # what a run of these tests that was killed has left
    make(base_image)
    yield
    clear()


def clear() -> None:
    """Remove both; the volume can go once the service's last container has gone."""
    with closing(from_env(timeout=60)) as engine:
        for kind in (engine.services, engine.volumes):
            for each in kind.list(filters={"label": LABEL}):
                removal.persist(each.remove)


def make(image: str) -> None:
    if not there("volume"):
        docker("volume", "create", "--label", LABEL, f"{STACK}_data")
    mount = f"type=volume,source={STACK}_data,target=/data"
    words = ("--name", f"{STACK}_api", "--label", LABEL, "--mount", mount, "--no-resolve-image", "--quiet")
    docker("service", "create", *words, image, "sleep", "600")


def test_up_says_so_down_removes_it_and_keeps_the_data(checkout: Checkout, left: None, base_image: str) -> None:
    up = checkout.run("up", "--yes", "--stack", STACK)
    assert up.returncode == 1
    assert (
        f"error: stack {STACK}: the Docker engine has services of it that its state does not know ({STACK}_api) "
        "— if its state is elsewhere, name it with --backend; else remove them first "
        f"(bin/dynoform down --stack {STACK}), with their data by --purge\n"
    ) in up.stderr
    assert there("service") != []
    down = checkout.run("down", "--yes", "--stack", STACK)
    assert down.returncode == 0, down.stderr
    assert f"✓ service {STACK}_api removed" in down.stderr
    assert (there("service"), there("volume")) == ([], [f"{STACK}_data"])
    made = checkout.run("up", "--yes", "--stack", STACK)
    assert made.returncode == 0, made.stderr
    # Of a stack that has a state, too: what it does not know would keep a volume in use.
    make(base_image)
    gone = checkout.run("down", "--yes", "--stack", STACK)
    assert gone.returncode == 0, gone.stderr
    assert (there("service"), checkout.resources()) == ([], [])


def test_up_finishes_a_purge_that_the_engine_did_not_answer_to(checkout: Checkout, left: None) -> None:
    able = dict(checkout.environ)
    checkout.environ |= NO_ENGINE
    purged = checkout.run("down", "--yes", "--purge", "--stack", STACK)
    assert purged.returncode == 0, purged.stderr
    assert "what it keeps goes when this, or up, is run again with it" in purged.stderr
    checkout.environ = able
    assert there("service") != []
    up = checkout.run("up", "--yes", "--stack", STACK)
    assert up.returncode == 0, up.stderr
    assert "finishing a purge that the Docker engine did not answer to" in up.stderr
    assert (there("service"), there("volume")) == ([], [])
    assert "finishing a purge" not in checkout.run("up", "--yes", "--stack", STACK).stderr
