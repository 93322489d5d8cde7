"""Brings Pulumi's plugins: the official ones where they can be had, else those of this checkout."""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.cli.process import Command, run
from dynoform.cli.tools import download, probe

DOCKER_VERSION = "5.2.0"
DOCKER_RELEASES = (
    "https://get.pulumi.com/releases/plugins",
    f"https://github.com/pulumi/pulumi-docker/releases/download/v{DOCKER_VERSION}",
)
"""Where the official docker plugin is published."""
INSTALL_SECONDS = 300
RECORD = "docker-plugin.json"
MARK = "# made by bin/dynoform"


def docker_archive(machine: str) -> str:
    """Name of the official docker plugin's archive, for a `machine` as uname names it."""
    kind = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    return f"pulumi-resource-docker-v{DOCKER_VERSION}-linux-{kind}.tar.gz"


def wrapper(program: Path) -> str:
    """A script that runs `program` of this checkout."""
    quoted = "'" + str(program).replace("'", "'\\''") + "'"
    return f'#!/bin/sh\n{MARK}\nexec {quoted} "$@"\n'


def write_wrapper(target: Path, program: Path) -> None:
    """Makes `target` run `program`; leaves it alone when it does already."""
    text = wrapper(program)
    if target.exists() and target.read_text(encoding="utf-8") == text and os.access(target, os.X_OK):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.chmod(0o755)
    fresh.replace(target)


def is_ours(target: Path) -> bool:
    """Whether `target` is a wrapper that `write_wrapper` made."""
    try:
        with target.open("rb") as stream:
            return MARK.encode() in stream.read(100)
    except OSError:
        return False


def bring_docker(
    places: Places,
    environ: Mapping[str, str],
    console: Console,
    releases: tuple[str, ...] = DOCKER_RELEASES,
) -> str:
    """The docker plugin in Pulumi's home; returns ``official`` or ``ours``. An answer once found is kept.

    A program counts as the official one only when it ran here and told the version that was asked for.
    """
    directory = places.pulumi_home / "plugins" / f"resource-docker-v{DOCKER_VERSION}"
    program = directory / "pulumi-resource-docker"
    if _is_official(places, program):
        return "official"
    if not program.exists() and environ.get("DYNOFORM_OFFICIAL") != "never":
        for release in releases:
            if _install_docker(places, release, console) and _is_official(places, program):
                return "official"
            shutil.rmtree(directory, ignore_errors=True)
    write_wrapper(program, places.root / "providers" / "docker" / "pulumi-resource-docker")
    _partial(directory).unlink(missing_ok=True)
    return "ours"


def _is_official(places: Places, program: Path) -> bool:
    # Pulumi marks a plugin whose installation was broken off.
    if not program.exists() or is_ours(program) or _partial(program.parent).exists():
        return False
    record = places.pulumi_home / RECORD
    if not probe.is_known(program, record):
        if probe.version(program, probe.PROVIDER) != DOCKER_VERSION:
            return False
        probe.note(program, record)
    return True


def _partial(directory: Path) -> Path:
    return directory.with_name(directory.name + ".partial")


def _install_docker(places: Places, release: str, console: Console) -> bool:
    if not download.is_reachable(f"{release}/{docker_archive(platform.machine())}"):
        return False
    argv = [str(places.pulumi), "plugin", "install", "resource", "docker", DOCKER_VERSION, "--server", release]
    env = {"PULUMI_HOME": str(places.pulumi_home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    with console.step(f"fetching Pulumi's docker plugin {DOCKER_VERSION}"):
        done = run(Command(argv, timeout=INSTALL_SECONDS, cwd=places.root, env=env))
    if done.code:
        console.line(f"docker plugin: {done.last_words} — using ours", "dim")
    return done.code == 0


def bring_language_host(places: Places) -> str:
    """The Python language host: the one beside an official CLI, else ours beside the CLI in the virtualenv.

    `pulumi_cli.install` has linked the CLI when it has one that works.
    """
    target = places.venv / "bin" / "pulumi-language-python"
    if places.pulumi.is_symlink():
        if is_ours(target):
            target.unlink()
        return "official"
    write_wrapper(target, places.root / "providers" / "python_language" / "pulumi-language-python")
    return "ours"
