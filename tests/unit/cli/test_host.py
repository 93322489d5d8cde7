"""What a host must have: each shortcoming is one line that says what, why and next."""

import platform
import shutil
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
