"""``up`` and ``down`` on a checkout of their own with a program that needs no Docker: killed, run again, removed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools import pulumi_cli

pytestmark = pytest.mark.slow
SECONDS = 180
PROGRAM = """
import time
import pulumi

class Thing(pulumi.ComponentResource):
    def __init__(self, name, opts=None):
        super().__init__("dynoform:index:Thing", name, None, opts)
        self.register_outputs({})

last = None
for number in range(8):
    last = Thing(f"thing-{number}", pulumi.ResourceOptions(parent=last))
    time.sleep(0.1)
pulumi.export("apiUrl", "https://localhost:18943")
pulumi.export("apiKey", pulumi.Output.secret("hush"))
pulumi.export("caCertPem", "CERTIFICATE")
pulumi.export("apps", {"shop": "http://shop.localhost:18980"})
"""


@dataclass
class Checkout:
    """A checkout with the real command, tools and virtualenv, and a program of the test's own."""

    root: Path
    home: Path

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environ = {
            "HOME": str(self.home),
            "PATH": os.defpath,
            "DYNOFORM_HOME": str(self.home / "data"),
            "DYNOFORM_OFFICIAL": "never",
            "PYTHONPATH": str(self.root),
        }
        argv = [sys.executable, "-P", "-m", "dynoform.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=environ, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def resources(self) -> list[str]:
        file = self.home / "data" / "state" / ".pulumi" / "stacks" / "dynoform" / "mine.json"
        latest = json.loads(file.read_text(encoding="utf-8"))["checkpoint"]["latest"] or {}
        assert not latest.get("pending_operations")
        return [one["urn"].rpartition("::")[2] for one in latest.get("resources") or []]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """The command and the providers, copied; a virtualenv of its own with the real one's packages."""
    root = tmp_path / "checkout"
    root.mkdir()
    for name in ("dynoform", "providers"):
        shutil.copytree(CHECKOUT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tools", "requirements"):
        (root / name).symlink_to(CHECKOUT / name)
    real, venv = CHECKOUT / ".venv", root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(real / "bin" / "python")
    (venv / "lib").symlink_to(real / "lib")
    shutil.copy(real / "pyvenv.cfg", venv)
    cli = pulumi_cli.installed(Places(CHECKOUT, tmp_path, tmp_path))
    assert cli, "no Pulumi CLI in the virtualenv: run bin/dynoform test, which brings it"
    pulumi_cli.install(Places(root, tmp_path, tmp_path), cli)
    project = (CHECKOUT / "Pulumi.yaml").read_text(encoding="utf-8")
    (root / "Pulumi.yaml").write_text(project.replace("path: providers/dynoform", "path: providers"), encoding="utf-8")
    (root / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    ports = "config:\n  dynoform:httpPort: 18980\n  dynoform:httpsPort: 18943\n"
    (root / "Pulumi.mine.yaml").write_text(ports, encoding="utf-8")
    yield Checkout(root, tmp_path / "home")


def test_up_again_changes_nothing_and_down_removes_everything(checkout: Checkout) -> None:
    first = checkout.run("up", "--yes", "--stack", "mine")
    assert first.returncode == 0, first.stderr
    assert "  app shop         http://shop.localhost:18980\n" in first.stdout
    assert len(checkout.resources()) == 9
    assert "hush" not in first.stdout + first.stderr
    again = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert json.loads(again.stdout)["changes"] == {}
    assert (checkout.root / "Pulumi.mine.yaml").read_text(encoding="utf-8").count("encryptionsalt") == 0
    assert checkout.run("down", "--yes", "--stack", "mine").returncode == 0
    assert checkout.resources() == []
    assert "mine: nothing is up" in checkout.run("down", "--yes", "--stack", "mine").stderr


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
    first = checkout.start("up", "--yes", "--stack", "mine")
    lock = checkout.home / "data" / "stacks" / "mine" / "lock"
    until = time.monotonic() + 30
    while not (lock.exists() and lock.read_text(encoding="utf-8")) and time.monotonic() < until:
        time.sleep(0.01)
    second = checkout.run("up", "--yes", "--stack", "mine")
    assert f"error: stack mine: process {first.pid} is changing it — wait for it to end" in second.stderr
    assert second.returncode == 1
    first.communicate(timeout=SECONDS)
    assert first.returncode == 0
