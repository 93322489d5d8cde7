"""Buildpacks and the build driver, run on this machine in folders of the test's own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Answer:
    """What a build printed and left behind."""

    code: int
    output: str
    result: dict[str, Any]


@dataclass
class Workshop:
    """An app's folder, its cache and its config vars."""

    folder: Path

    @property
    def app(self) -> Path:
        return self.folder / "app"

    def write(self, **files: str) -> None:
        """Write files into the app; ``__`` in a name stands for a dot."""
        for name, content in files.items():
            (self.app / name.replace("__", ".")).write_text(content)

    def config(self, **variables: str) -> None:
        for name, value in variables.items():
            (self.folder / "env" / name).write_text(value)

    def build(self, buildpacks: Path = ROOT / "buildpacks", **variables: str) -> Answer:
        """Run the driver, as the build container does, with further environment variables."""
        result = self.folder / "result.json"
        result.unlink(missing_ok=True)
        paths = {"app": self.app, "cache": self.folder / "cache", "config": self.folder / "env"}
        paths |= {"result": result, "buildpacks": buildpacks, "wanted": self.folder / "wanted"}
        paths["cgroups"] = self.folder / "cgroups"
        options = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
        # Nothing of the machine's own takes part, and nothing is asked of a registry. The stack's Python is the tests'
        # own: what is on PATH may be a shim that chooses one by the app's .python-version.
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {"PATH": path, "HOME": str(self.folder), "STACK": "dynoform-13", **variables}
        done = subprocess.run(
            [sys.executable, ROOT / "images/stack-13-build/build", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
            timeout=120,
        )
        return Answer(done.returncode, done.stdout, json.loads(result.read_text()))


def new_workshop(folder: Path) -> Workshop:
    """An empty one in a folder."""
    for name in ("app", "cache", "env"):
        (folder / name).mkdir()
    return Workshop(folder)


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return new_workshop(tmp_path)


@pytest.fixture
def buildpacks(tmp_path: Path) -> Callable[..., Path]:
    """Makes buildpacks of the test's own: name → scripts (detect, compile, release)."""

    def make(**scripts: dict[str, str]) -> Path:
        folder = tmp_path / "buildpacks"
        for name, steps in scripts.items():
            for step, script in steps.items():
                path = folder / name / "bin" / step
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"#!/bin/bash\n{script}\n")
                path.chmod(0o755)
        (folder / "order").write_text("\n".join(scripts))
        return folder

    return make
