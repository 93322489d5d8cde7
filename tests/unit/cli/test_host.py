"""What a host must have: each shortcoming is one line that says what, why and next."""

import platform
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dynoform.cli import host
from dynoform.cli.host import Subject
from dynoform.cli.settings import StackSettings


def subject(tmp_path: Path, **values: object) -> Subject:
    found = {"httpPort": 18480, "httpsPort": 18483, "listenAddress": "127.0.0.1", "platformPort": 18400}
    found |= {"dynoSubnet": "172.29.96.0/22", "platformSubnet": "172.29.100.0/24", **values}
    settings = StackSettings(tmp_path / "Pulumi.local.yaml", found)
    return Subject("local", settings, tmp_path / "data" / "not-yet", False, None)


def errors(checked: Subject) -> list[str]:
    return [str(check.error) for check in host.checks(checked) if check.error]


def test_small_memory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "MINIMUM_MEMORY", 1 << 60)
    assert any(
        line.startswith("memory: ") and line.endswith("— use a larger host") for line in errors(subject(tmp_path))
    )


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil._ntuple_diskusage(1 << 40, 1 << 40, 1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert any("1 MiB are free, 8192 MiB are needed — free some space" in line for line in errors(subject(tmp_path)))


def test_full_disk_of_the_data_directory_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def usage(place: Path) -> "shutil._ntuple_diskusage":
        return shutil._ntuple_diskusage(1 << 40, 0, 1 << 20 if place == tmp_path else 1 << 40)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    line = f"disk of {tmp_path / 'data' / 'not-yet'}: 1 MiB are free, 256 MiB are needed — free some space"
    assert [error for error in errors(subject(tmp_path)) if error.startswith(line)]


def test_other_machines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert "host: is Linux on riscv64, not Linux on x86_64 or aarch64 — use another host" in errors(subject(tmp_path))


def test_without_root_it_is_refused_whatever_sudo_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sudo = tmp_path / "sudo"
    sudo.write_text("#!/bin/sh\n", encoding="utf-8")
    sudo.chmod(0o755)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("USER", "ana")
    assert "user ana: is not root — run it as root" in errors(subject(tmp_path))


class Engine:
    """An engine as far as its version and storage go; the real ones that CI has are new enough."""

    def __init__(self, version: str, driver: str = "overlay2") -> None:
        self.client = self
        self.api = self
        self._version = version
        self._driver = driver

    def info(self) -> dict[str, str]:
        return {"Driver": self._driver}

    def version(self) -> dict[str, str]:
        return {"Version": self._version}


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ("19.03.15", True),
        ("20.9.1", True),
        ("1.13.1-cs9", True),
        ("", True),
        ("20.10.24+dfsg1", False),
        ("20.10", False),
        ("28.5.2", False),
        ("29.0.0-rc.1", False),
    ],
)
def test_docker_that_is_too_old_is_named_with_its_version(tmp_path: Path, version: str, old: bool) -> None:
    checked = replace(subject(tmp_path), engine=Engine(version))  # type: ignore[arg-type]
    error = host._docker(checked)
    expected = f"Docker engine: is version {version}, 20.10 or newer is needed — upgrade it: apt-get install docker.io"
    assert (str(error) if error else None) == (expected if old else None)


@pytest.mark.parametrize(("driver", "refused"), [("vfs", True), ("", True), ("overlay2", False), ("overlayfs", False)])
def test_docker_with_another_storage_driver_is_named(tmp_path: Path, driver: str, refused: bool) -> None:
    error = host._docker(replace(subject(tmp_path), engine=Engine("28.0.0", driver)))  # type: ignore[arg-type]
    expected = (
        f"Docker engine: keeps images and containers with {driver or 'no driver'}, not with overlay2 "
        '— set "storage-driver" in /etc/docker/daemon.json'
    )
    assert (str(error) if error else None) == (expected if refused else None)
