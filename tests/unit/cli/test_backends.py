"""State kept elsewhere than on this machine: in PostgreSQL, and in a bucket of S3's API."""

import json
import re
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests import postgres
from tests.unit.cli.checkout import SECONDS, WAITING, Checkout
from tests.unit.cli.test_up_and_down import kill_session

pytestmark = pytest.mark.slow
PASSWORD = "hush-hush"
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "us-east-1"}


@pytest.fixture(params=["postgres", "s3"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of an empty backend."""
    if request.param == "postgres":
        with postgres.cluster() as url:
            place = url.rpartition("@")[2]
            yield f"postgres://dynoform:{PASSWORD}@{place}?sslmode=disable"
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "id", "aws_secret_access_key": "key", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", **keys).create_bucket(Bucket="state")
    yield f"s3://state?endpoint={host}:{port}&disableSSL=true&s3ForcePathStyle=true&region=us-east-1"
    server.stop()


def test_state_is_kept_in_the_backend_and_found_there_again(checkout: Checkout, backend: str) -> None:
    checkout.environ = KEYS
    first = checkout.run("up", "--yes", "--stack", "mine", "--backend", backend)
    assert first.returncode == 0, first.stderr
    assert not list((checkout.home / "data").rglob("mine.json"))
    again = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert json.loads(again.stdout)["changes"] == {}
    remembered = checkout.home / "data" / "stacks" / "mine" / "backend"
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    moved = checkout.run("up", "--yes", "--stack", "mine", "--backend", f"file://{checkout.home}")
    assert "error: stack mine: its state, of 9 resources, is in " in moved.stderr
    assert checkout.run("down", "--yes", "--stack", "mine").returncode == 0
    assert "mine: nothing is up" in checkout.run("down", "--yes", "--stack", "mine").stderr
    logs = (checkout.home / "data" / "stacks" / "mine" / "logs").iterdir()
    shown = [first.stdout, first.stderr, moved.stderr, *(log.read_text(encoding="utf-8") for log in logs)]
    assert PASSWORD not in "".join(shown)


def held(machine: Checkout, *words: str) -> "subprocess.Popen[str]":
    """An `up` that has the stack's lock and goes on once there is a file ``go``."""
    for name in ("began", "go"):
        (machine.root / name).unlink(missing_ok=True)
    process = machine.start("up", "--yes", "--stack", "mine", *words)
    until = time.monotonic() + SECONDS
    while not (machine.root / "began").exists():
        assert time.monotonic() < until and process.poll() is None, "the program does not begin"
        time.sleep(0.05)
    return process


def test_two_machines_do_not_change_a_stack_at_once(checkout: Checkout, backend: str, tmp_path: Path) -> None:
    checkout.environ = KEYS | {"PULUMI_CONFIG_PASSPHRASE": "the team's"}
    (checkout.root / "__main__.py").write_text(WAITING, encoding="utf-8")
    other = replace(checkout, home=tmp_path / "other")
    at = ("--backend", backend)
    locked = re.compile(
        rf"^error: stack mine: is locked by \S+@{re.escape(socket.gethostname())}, process \d+, since \S+ "
        r"— wait for it; if it is dead: pulumi cancel --stack mine$",
        re.MULTILINE,
    )
    first = held(checkout, *at)
    second = other.run("up", "--yes", "--stack", "mine", *at)
    (checkout.root / "go").touch()
    first.communicate(timeout=SECONDS)
    assert (first.returncode, second.returncode) == (0, 1), second.stderr
    assert locked.search(second.stderr), second.stderr
    again = other.run("up", "--yes", "--json", "--stack", "mine", *at)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["changes"] == {}

    killed = held(other)
    down = checkout.run("down", "--yes", "--stack", "mine")
    assert locked.search(down.stderr), down.stderr
    kill_session(killed)
    killed.communicate(timeout=SECONDS)
    (checkout.root / "go").touch()
    # For all that the first knows, a machine of its name was at it: only the one that was may take the lock away.
    refused = checkout.run("up", "--yes", "--stack", "mine")
    assert locked.search(refused.stderr), refused.stderr
    mended = other.run("up", "--yes", "--stack", "mine")
    assert mended.returncode == 0, mended.stderr
    assert "removing the lock of a killed run from stack mine" in mended.stderr
    gone = checkout.run("down", "--yes", "--stack", "mine")
    assert gone.returncode == 0, gone.stderr


def test_backend_that_does_not_answer_is_told_without_its_password_and_forgotten(checkout: Checkout) -> None:
    url = f"postgres://dynoform:{PASSWORD}@127.0.0.1:9/state?sslmode=disable"
    done = checkout.run("up", "--yes", "--stack", "mine", "--backend", url)
    assert done.returncode == 1
    assert "error: stack mine in postgres://dynoform:…@127.0.0.1:9/state" in done.stderr
    assert PASSWORD not in done.stderr
    assert not (checkout.home / "data" / "stacks" / "mine" / "backend").exists()
