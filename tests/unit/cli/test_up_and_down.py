"""``up`` and ``down`` on a checkout of their own with a program that needs no Docker: killed, run again, removed."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT
from tests.integration.certificates import Authority
from tests.unit.cli.checkout import PROGRAM, SECONDS, WAITING, Checkout
from tests.unit.providers.platform import Platform, serve

pytestmark = pytest.mark.slow


def test_up_again_changes_nothing_and_down_removes_everything(checkout: Checkout) -> None:
    first = checkout.run("up", "--yes", "--stack", "mine")
    assert first.returncode == 0, first.stderr
    assert "  app shop         http://shop.localhost:18880\n" in first.stdout
    assert len(checkout.resources()) == 9
    assert "hush" not in first.stdout + first.stderr
    again = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert json.loads(again.stdout)["changes"] == {}
    assert (checkout.root / "Pulumi.mine.yaml").read_text(encoding="utf-8").count("encryptionsalt") == 0
    assert checkout.run("down", "--yes", "--stack", "mine").returncode == 0
    assert checkout.resources() == []
    assert "mine: nothing is up" in checkout.run("down", "--yes", "--stack", "mine").stderr


def test_doctor_knows_the_configuration_that_up_was_given(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = (checkout.root / "Pulumi.mine.yaml").rename(tmp_path / "mine.yaml")
    assert "there is no " in checkout.run("doctor", "--stack", "mine").stdout
    assert checkout.run("up", "--yes", "--stack", "mine", "--config-file", str(elsewhere)).returncode == 0
    assert "✓ configuration\n" in checkout.run("doctor", "--stack", "mine").stdout


def files(checkout: Checkout) -> set[str]:
    """What there is in the data directory, Pulumi's own home left out."""
    data = checkout.home / "data"
    return {str(path.relative_to(data)) for path in data.rglob("*") if "pulumi-home" not in path.parts}


def test_preview_of_a_new_stack_leaves_nothing(checkout: Checkout) -> None:
    done = checkout.run("up", "--preview", "--stack", "mine")
    assert (done.returncode, done.stdout) == (0, "mine: 9 to create\n"), done.stderr
    assert files(checkout) == set()
    (checkout.root / "__main__.py").write_text("raise SystemExit('broken on purpose')", encoding="utf-8")
    failed = checkout.run("up", "--preview", "--stack", "mine")
    assert failed.returncode == 1
    assert "— mend that, then run bin/dynoform up --preview --stack mine again" in failed.stderr
    log = Path(failed.stderr.partition("the log is ")[2].partition(" — ")[0])
    assert "broken on purpose" in log.read_text(encoding="utf-8")
    assert files(checkout) == set()


def test_existing_stack_is_not_changed_unasked(checkout: Checkout) -> None:
    checkout.run("up", "--yes", "--stack", "mine")
    program = checkout.root / "__main__.py"
    program.write_text(PROGRAM.replace("range(8)", "range(9)"), encoding="utf-8")
    done = checkout.run("up", "--stack", "mine")
    assert done.returncode == 1
    assert "stack mine: would change (1 to create), and there is no terminal to ask on — look at it" in done.stderr
    assert checkout.run("up", "--preview", "--stack", "mine").stdout == "mine: 1 to create\n"
    assert len(checkout.resources()) == 9


def test_failing_program_is_told_in_one_line_and_the_log_is_named(checkout: Checkout) -> None:
    program = checkout.root / "__main__.py"
    program.write_text("import pulumi\nraise pulumi.RunError('dynoform:apps.x: must be a map')", encoding="utf-8")
    done = checkout.run("up", "--yes", "--stack", "mine")
    assert done.returncode == 1
    assert "✗ dynoform:apps.x: must be a map\n" in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: up of stack mine: did not finish, the log is ")
    assert line.endswith(" — mend that, then run bin/dynoform up --stack mine again")
    log = Path(line.partition("the log is ")[2].partition(" — ")[0])
    assert "must be a map" in log.read_text(encoding="utf-8")


def kill_session(process: "subprocess.Popen[str]") -> None:
    """What a power cut does: everything that was started, `pulumi` and its plugins too."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(entry.name)) == process.pid:
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


@pytest.mark.parametrize("everything", [False, True], ids=["command", "everything"])
def test_killed_up_converges_when_run_again(checkout: Checkout, everything: bool) -> None:
    process = checkout.start("up", "--yes", "--stack", "mine")
    locks = checkout.home / "data" / "state" / ".pulumi" / "locks"
    until = time.monotonic() + SECONDS
    while not list(locks.rglob("*.json")) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(random.uniform(0, 1))  # noqa: S311 any moment will do
    if everything:
        kill_session(process)
    else:
        process.kill()
    process.communicate(timeout=SECONDS)
    done = checkout.run("up", "--yes", "--stack", "mine")
    assert done.returncode == 0, done.stderr
    assert len(checkout.resources()) == 9
    assert checkout.run("up", "--yes", "--json", "--stack", "mine").returncode == 0


def test_second_up_at_once_is_refused(checkout: Checkout) -> None:
    (checkout.root / "__main__.py").write_text(WAITING, encoding="utf-8")
    first = checkout.start("up", "--yes", "--stack", "mine")
    lock = checkout.home / "data" / "stacks" / "mine" / "lock"
    until = time.monotonic() + SECONDS
    while not (lock.exists() and lock.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.01)
    second = checkout.run("up", "--yes", "--stack", "mine")
    assert f"error: stack mine: process {first.pid} is changing it — wait for it to end" in second.stderr
    assert second.returncode == 1
    (checkout.root / "go").touch()
    first.communicate(timeout=SECONDS)
    assert first.returncode == 0


APP = """
import json
import pathlib
import pulumi

api = json.loads(pathlib.Path("api.json").read_text())
inputs = {"api": api, "name": "shop", "source": "shop", "webUrl": None, "release": None}
pulumi.CustomResource("dynoform:index:App", "mine-shop", inputs)
"""


def test_what_another_key_sealed_is_told_in_one_line_and_down_gets_on(checkout: Checkout, tmp_path: Path) -> None:
    authority, platform = Authority(), Platform()
    (tmp_path / "api.pem").write_bytes(b"".join(authority.issue("api", "localhost")))
    server = serve(platform, tmp_path / "api.pem")
    try:
        api = {"url": platform.url, "caCertPem": authority.pem.decode(), "token": "key"}
        (checkout.root / "api.json").write_text(json.dumps(api), encoding="utf-8")
        (checkout.root / "shop").mkdir()
        (checkout.root / "shop" / "Procfile").write_text("web: serve\n", encoding="utf-8")
        (checkout.root / "__main__.py").write_text(APP, encoding="utf-8")
        (checkout.root / "Pulumi.yaml").write_text((CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8"))
        first = checkout.run("up", "--yes", "--stack", "mine")
        assert first.returncode == 0, first.stderr
        platform.sealed = True
        failed = checkout.run("up", "--yes", "--refresh", "--stack", "mine")
        assert failed.returncode == 1
        why = "GET /apps/id-of-shop/config-vars: what is kept of x: cannot be read — bring it back (500)"
        what_next = "bin/dynoform restore brings a state back, down --purge gives the data up"
        assert f"✗ dynoform:App mine-shop: {why} — {what_next}\n" in failed.stderr
        assert "Traceback" not in failed.stderr
        assert len(platform.sources) == 1
        gone = checkout.run("down", "--yes", "--stack", "mine")
        assert gone.returncode == 0, gone.stderr
        assert (checkout.resources(), platform.apps) == ([], {})
    finally:
        server.shutdown()
        server.server_close()
