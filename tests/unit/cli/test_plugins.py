"""Which plugins are taken: official ones when they run and tell their version, else ours; tried with real plugins."""

import io
import os
import platform
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli.console import Console
from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools import plugins, probe, pulumi_cli
from dynoform.cli.tools.pulumi_cli import Cli

Write = Callable[[Path, str], Path]
NEVER = {"DYNOFORM_OFFICIAL": "never"}
PYTHON = os.environ.get("DYNOFORM_PYTHON", str(CHECKOUT / ".venv" / "bin" / "python"))
DOCKER = f"DYNOFORM_PYTHON={PYTHON} exec '{CHECKOUT}/providers/docker/pulumi-resource-docker' \"$@\""
LANGUAGE_HOST = f"DYNOFORM_PYTHON={PYTHON} exec '{CHECKOUT}/providers/python_language/pulumi-language-python' \"$@\""
"""Plugins that stand for the official ones: nobody can tell them by what Pulumi asks."""
ARCHIVE = plugins.docker_archive(platform.machine())
NO_PLUGINS = ["exit 0", "echo 70000; sleep 60", "echo no port; sleep 60", "echo 9; sleep 60"]


def docker_program(places: Places) -> Path:
    return places.pulumi_home / "plugins" / "resource-docker-v5.2.0" / "pulumi-resource-docker"


def test_our_docker_plugin_is_put_where_pulumi_looks(places: Places, console: Console) -> None:
    assert plugins.bring_docker(places, NEVER, console) == "ours"
    target = docker_program(places)
    assert f"{places.root}/providers/docker/pulumi-resource-docker" in target.read_text(encoding="utf-8")
    assert os.access(target, os.X_OK)


def test_official_docker_plugin_is_kept_and_asked_once(
    places: Places, console: Console, program: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(docker_program(places), DOCKER)
    assert plugins.bring_docker(places, NEVER, console) == "official"
    monkeypatch.setattr(probe, "version", None)
    assert plugins.bring_docker(places, NEVER, console) == "official"


@pytest.mark.parametrize("body", NO_PLUGINS)
def test_program_that_is_no_docker_plugin_is_replaced(
    places: Places, console: Console, program: Write, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1)
    program(docker_program(places), body)
    assert plugins.bring_docker(places, NEVER, console) == "ours"
    assert plugins.is_ours(docker_program(places))


def test_official_docker_plugin_whose_installation_broke_off_is_not_taken(
    places: Places, console: Console, program: Write
) -> None:
    directory = program(docker_program(places), DOCKER).parent
    directory.with_name("resource-docker-v5.2.0.partial").touch()
    assert plugins.bring_docker(places, NEVER, console) == "ours"
    assert not directory.with_name("resource-docker-v5.2.0.partial").exists()


def archive_of(body: str) -> bytes:
    """A release as Pulumi packs it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        content = f"#!/bin/sh\n{body}\n".encode()
        entry = tarfile.TarInfo("pulumi-resource-docker")
        entry.size, entry.mode = len(content), 0o755
        tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture
def cli(places: Places) -> None:
    """The real Pulumi CLI, which fetches and unpacks plugins."""
    found = pulumi_cli.installed(Places(CHECKOUT, places.data, places.cache))
    assert found, "no Pulumi CLI in the virtualenv: run bin/dynoform test, which brings it"
    pulumi_cli.install(places, found)


@pytest.mark.slow
@pytest.mark.usefixtures("cli")
def test_official_docker_plugin_is_installed_from_its_release(
    places: Places, console: Console, release: tuple[str, Path]
) -> None:
    (release[1] / ARCHIVE).write_bytes(archive_of(DOCKER))
    found = plugins.bring_docker(places, {}, console, ("http://127.0.0.1:9/nothing", release[0]))
    assert found == "official"
    assert not plugins.is_ours(docker_program(places))
    (release[1] / ARCHIVE).unlink()
    assert plugins.bring_docker(places, {}, console, (release[0],)) == "official"


@pytest.mark.slow
@pytest.mark.usefixtures("cli")
@pytest.mark.parametrize(
    "content",
    [archive_of(DOCKER)[:100], b"no archive", *(archive_of(no) for no in NO_PLUGINS)],
    ids=["truncated", "no archive", *(f"no plugin {number}" for number, _ in enumerate(NO_PLUGINS))],
)
def test_bad_release_of_the_docker_plugin_leaves_ours(
    places: Places, console: Console, release: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 1)
    (release[1] / ARCHIVE).write_bytes(content)
    for _ in range(2):
        assert plugins.bring_docker(places, {}, console, (release[0],)) == "ours"
        assert plugins.is_ours(docker_program(places))
        assert not list((places.pulumi_home / "plugins").glob("*.partial"))


def test_release_that_cannot_be_reached_leaves_ours(places: Places, console: Console) -> None:
    assert plugins.bring_docker(places, {}, console, ("http://127.0.0.1:9/nothing",)) == "ours"


def cli_with_host(places: Places, tmp_path: Path, program: Write, body: str | None) -> None:
    tool = program(tmp_path / "bin" / "pulumi", "echo v3.260.0")
    if body is not None:
        program(tmp_path / "bin" / "pulumi-language-python", body)
    pulumi_cli.install(places, Cli(str(tool), "3.260.0", "path"))


def test_cli_with_its_own_language_host_is_linked_so_that_it_finds_it(
    places: Places, tmp_path: Path, program: Write
) -> None:
    cli_with_host(places, tmp_path, program, LANGUAGE_HOST)
    assert places.pulumi.is_symlink()
    assert plugins.bring_language_host(places) == "official"
    assert not (places.venv / "bin" / "pulumi-language-python").exists()


@pytest.mark.parametrize("body", [None, DOCKER, *NO_PLUGINS])
def test_cli_without_a_language_host_that_works_gets_ours_beside_it(
    places: Places, tmp_path: Path, program: Write, monkeypatch: pytest.MonkeyPatch, body: str | None
) -> None:
    monkeypatch.setattr(probe, "SECONDS", 2)
    cli_with_host(places, tmp_path, program, body)
    assert not places.pulumi.is_symlink()
    assert plugins.bring_language_host(places) == "ours"
    assert plugins.is_ours(places.venv / "bin" / "pulumi-language-python")


def test_wrapper_follows_the_checkout(tmp_path: Path, program: Write) -> None:
    tool = program(tmp_path / "it's here" / "tool", 'echo "$1"')
    plugins.write_wrapper(tmp_path / "wrapper", tmp_path / "gone")
    plugins.write_wrapper(tmp_path / "wrapper", tool)
    done = subprocess.run([tmp_path / "wrapper", "a b"], capture_output=True, text=True, check=True)
    assert done.stdout == "a b\n"
