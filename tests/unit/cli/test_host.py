"""What a host must have: each shortcoming is one line that says what, why and next."""

import platform
import shutil
import socket
from pathlib import Path

import pytest

from dynoform.cli import host
from dynoform.cli.host import Subject
from dynoform.cli.settings import StackSettings


def subject(tmp_path: Path, **values: object) -> Subject:
    found = {"httpPort": 18480, "httpsPort": 18443, "listenAddress": "127.0.0.1", **values}
    settings = StackSettings(tmp_path / "Pulumi.local.yaml", found)
    return Subject("local", settings, tmp_path / "data" / "not-yet", False, None)


def errors(checked: Subject) -> list[str]:
    return [str(check.error) for check in host.checks(checked) if check.error]


def test_taken_port_is_named_with_its_holder(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (line,) = [line for line in errors(subject(tmp_path, httpPort=port)) if "Port" in line]
    assert line.startswith(f"httpPort 127.0.0.1:{port}: is taken by ")
    assert "(process " in line
    assert line.endswith("— stop that, or choose another: set dynoform:httpPort in Pulumi.local.yaml")


def test_what_keeps_ps_exec_from_its_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        monkeypatch.setattr(host, "EXEC_PORT", holder.getsockname()[1])
        assert host.exec_port(subject(tmp_path, execAddress="127.0.0.2")) is None
        line = str(host.exec_port(subject(tmp_path, execAddress="127.0.0.1")))
        assert line.startswith(f"execAddress 127.0.0.1:{host.EXEC_PORT}: is taken by ")
        assert line.endswith("— stop that, or choose another: set dynoform:execAddress in Pulumi.local.yaml")
        assert host.exec_port(subject(tmp_path, execAddress="")) is None


def test_free_ports_pass(tmp_path: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        http, https = one.getsockname()[1], other.getsockname()[1]
    assert not [line for line in errors(subject(tmp_path, httpPort=http, httpsPort=https)) if "Port" in line]


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


def test_without_root_and_sudo_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("USER", "ana")
    expected = "user ana: is neither root nor allowed to use sudo without a password — run it as root, or allow sudo"
    assert expected in errors(subject(tmp_path))
