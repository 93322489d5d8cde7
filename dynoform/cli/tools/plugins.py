"""Brings Pulumi's plugins: the official ones where they can be had, else those of this checkout."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from dynoform.cli.console import Console
from dynoform.cli.places import Places
from dynoform.cli.process import Command, run
from dynoform.cli.tools import download
from dynoform.cli.tools.pulumi_cli import Cli

DOCKER_VERSION = "5.2.0"
INSTALL_SECONDS = 300
MARK = "# made by bin/dynoform"


def docker_urls(machine: str) -> tuple[str, ...]:
    """Where the official docker plugin is published, for a `machine` as uname names it."""
    kind = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
    name = f"pulumi-resource-docker-v{DOCKER_VERSION}-linux-{kind}.tar.gz"
    return (
        f"https://get.pulumi.com/releases/plugins/{name}",
        f"https://github.com/pulumi/pulumi-docker/releases/download/v{DOCKER_VERSION}/{name}",
    )


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


def bring_docker(places: Places, cli: Cli, environ: Mapping[str, str], console: Console) -> str:
    """The docker plugin in Pulumi's home; returns ``official`` or ``ours``. An answer once found is kept."""
    directory = places.pulumi_home / "plugins" / f"resource-docker-v{DOCKER_VERSION}"
    program = directory / "pulumi-resource-docker"
    # Pulumi marks a plugin whose installation was broken off.
    partial = directory.with_name(directory.name + ".partial")
    if program.exists() and not is_ours(program) and not partial.exists():
        return "official"
    if not program.exists() and environ.get("DYNOFORM_OFFICIAL") != "never" and _install_docker(places, console):
        return "official"
    write_wrapper(program, places.root / "providers" / "docker" / "pulumi-resource-docker")
    partial.unlink(missing_ok=True)
    return "ours"


def _install_docker(places: Places, console: Console) -> bool:
    if not any(download.is_reachable(url) for url in docker_urls(platform.machine())):
        return False
    argv = [str(places.pulumi), "plugin", "install", "resource", "docker", DOCKER_VERSION]
    env = {"PULUMI_HOME": str(places.pulumi_home), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    with console.step(f"fetching Pulumi's docker plugin {DOCKER_VERSION}"):
        done = run(Command(argv, timeout=INSTALL_SECONDS, cwd=places.root, env=env))
    if done.code:
        console.line(f"docker plugin: {done.last_words} — using ours", "dim")
    return done.code == 0


def bring_language_host(places: Places, cli: Cli) -> str:
    """The Python language host: the one beside an official CLI, else ours beside the CLI in the virtualenv."""
    target = places.venv / "bin" / "pulumi-language-python"
    if (Path(cli.program).parent / "pulumi-language-python").exists():
        if is_ours(target):
            target.unlink()
        return "official"
    write_wrapper(target, places.root / "providers" / "python_language" / "pulumi-language-python")
    return "ours"
