"""A checkout of its own with the real command, and a program that needs no Docker."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools import pulumi_cli

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
pulumi.export("apiUrl", "https://localhost:18843")
pulumi.export("apiKey", pulumi.Output.secret("hush"))
pulumi.export("caCertPem", "CERTIFICATE")
pulumi.export("apps", {"shop": "http://shop.localhost:18880"})
"""
SETTINGS = """config:
  dynoform:httpPort: 18880
  dynoform:httpsPort: 18843
  dynoform:platformPort: 18800
  dynoform:dynoSubnet: 172.29.104.0/22
  dynoform:platformSubnet: 172.29.108.0/24
"""
"""No other stack that may be up on this machine has these."""
WAITING = PROGRAM.replace(
    "last = None",
    """
import pathlib
here = pathlib.Path(__file__).parent
(here / "began").touch()
until = time.monotonic() + 120
while not (here / "go").exists() and time.monotonic() < until:
    time.sleep(0.05)
last = None
""",
)
"""The same, which begins, and goes on when it is told to."""


@dataclass
class Checkout:
    """A checkout with the real command, tools and virtualenv, and a program of the test's own."""

    root: Path
    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    stack: str = "mine"

    def rename(self, stack: str) -> None:
        """Call the stack otherwise, for who has something of it on the engine."""
        (self.root / f"Pulumi.{self.stack}.yaml").rename(self.root / f"Pulumi.{stack}.yaml")
        self.stack = stack

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environ = {
            "HOME": str(self.home),
            "PATH": os.defpath,
            "DYNOFORM_HOME": str(self.home / "data"),
            "DYNOFORM_OFFICIAL": "never",
            "PYTHONPATH": str(self.root),
            **self.environ,
        }
        argv = [sys.executable, "-P", "-m", "dynoform.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, env=environ, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*words)
        out, err = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def resources(self) -> list[str]:
        file = self.home / "data" / "state" / ".pulumi" / "stacks" / "dynoform" / f"{self.stack}.json"
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
    for name in ("tools", "requirements", "images"):
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
    (root / "Pulumi.mine.yaml").write_text(SETTINGS, encoding="utf-8")
    yield Checkout(root, tmp_path / "home")
