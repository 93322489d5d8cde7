"""What the role kernel_patching reads of a host, and how it keeps a second run out."""

import gzip
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests import role_scripts

SIMULATED = """NOTE: This is only a simulation!
Inst linux-image-6.12.48+deb13-amd64 (6.12.48-1 Debian-Security:13/stable-security [amd64])
Inst linux-image-amd64 [6.12.41-1] (6.12.48-1 Debian-Security:13/stable-security [amd64])
Inst openssl [3.5.0-1] (3.5.1-1 Debian:13.1/stable [amd64])
Conf openssl (3.5.1-1 Debian:13.1/stable [amd64])
"""
PACKAGES = {
    "linux-image-6.12.41+deb13-amd64": "6.12.41-1",
    "linux-image-6.12.9+deb13-amd64": "6.12.9-2",
    "linux-image-6.12.41+deb13-amd64-dbg": "6.12.41-1",
    "linux-image-amd64": "6.12.41-1",
}
CHANGELOG = """linux (6.12.48-1) trixie-security; urgency=high

  * New upstream stable update
    - net: fix it (CVE-2025-38666)

linux (6.12.43-1) trixie-security; urgency=high

  * ext4: mend (CVE-2025-38001, CVE-2025-38002)

linux (6.12.41-1) trixie; urgency=medium

  * older (CVE-2025-11111)
"""


def loaded(name: str) -> ModuleType:
    return role_scripts.load("kernel_patching", name)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A host as its commands tell of it; dpkg compares versions itself."""
    module = loaded("read_kernels")
    told = {
        "module": module, "packages": dict(PACKAGES), "release": "6.12.41+deb13-amd64", "held": "",
        "version": "#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)", "audit": "", "simulated": SIMULATED,
    }  # fmt: skip
    real = module.run

    def run(*words: str) -> tuple[int, str]:
        if words[0] == "dpkg-query":
            return 0, "".join(f"{name}\tinstalled\t{version}\n" for name, version in told["packages"].items())
        answers = {"apt-get": told["simulated"], "apt-mark": told["held"]}
        if words[:2] == ("dpkg", "--audit"):
            return 0, told["audit"]
        return (0, answers[words[0]]) if words[0] in answers else real(*words)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "DOCUMENTATION", tmp_path)
    monkeypatch.setattr(module.platform, "release", lambda: told["release"])
    monkeypatch.setattr(module.platform, "version", lambda: told["version"])
    return told


def read(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    host["module"].main()
    return dict(json.loads(capsys.readouterr().out))


def test_newest_kernel_is_the_one_that_dpkg_says(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    found = read(host, capsys)
    assert (found["running"], found["newest"], found["reboot"]) == ("6.12.41+deb13-amd64", "6.12.41+deb13-amd64", False)
    assert found["kernel_upgrades"] == {
        "linux-image-6.12.48+deb13-amd64": ["", "6.12.48-1"],
        "linux-image-amd64": ["6.12.41-1", "6.12.48-1"],
    }
    assert set(found["upgrades"]) == {*found["kernel_upgrades"], "openssl"}


def test_an_older_kernel_that_runs_wants_a_reboot(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    host["release"], host["version"] = "6.12.9+deb13-amd64", "#1 SMP Debian 6.12.9-2"
    assert read(host, capsys)["reboot"] is True


def test_a_rebuilt_kernel_of_the_same_release_wants_a_reboot(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    host["packages"]["linux-image-6.12.41+deb13-amd64"] = "6.12.41-2"
    found = read(host, capsys)
    assert (found["reboot"], found["newest_version"], found["running_version"]) == (True, "6.12.41-2", "")


def test_a_kernel_that_no_package_has_is_left_alone(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    host["packages"], host["simulated"] = {}, ""
    found = read(host, capsys)
    assert (found["newest"], found["reboot"], found["kernel_upgrades"]) == ("", False, {})


def test_cves_are_those_of_entries_after_the_running_kernel(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    host["packages"]["linux-image-6.12.48+deb13-amd64"] = "6.12.48-1"
    folder = tmp_path / "linux-image-6.12.48+deb13-amd64"
    folder.mkdir()
    with gzip.open(folder / "changelog.Debian.gz", "wt") as file:
        file.write(CHANGELOG)
    found = read(host, capsys)
    assert found["cves"] == ["CVE-2025-38001", "CVE-2025-38002", "CVE-2025-38666"]
    assert found["reboot"] is True


def test_a_live_patch_counts_when_it_is_in_force(
    host: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host["module"], "LIVE", tmp_path / "livepatch")
    assert read(host, capsys)["livepatch"] == ""
    (tmp_path / "livepatch/fix").mkdir(parents=True)
    for enabled, told in (("0\n", ""), ("1\n", "kpatch")):
        (tmp_path / "livepatch/fix/enabled").write_text(enabled)
        assert read(host, capsys)["livepatch"] == told


def test_what_is_in_the_way_is_told(host: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    host["audit"], host["held"] = "half installed", "linux-image-amd64\nnginx\n"
    found = read(host, capsys)
    assert (found["interrupted"], found["held"]) == (True, ["linux-image-amd64"])


def test_a_second_run_is_kept_out_until_the_first_is_done_or_dead(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = loaded("lock")
    monkeypatch.setattr(lock, "LOCK", tmp_path / "lock.json")
    assert lock.main("take", "first", 1800) == 0
    assert lock.main("look", "second", 1800) == 0
    assert capsys.readouterr().out.split() == ["first", "first"]
    assert lock.main("take", "second", 1800) == lock.TAKEN
    assert capsys.readouterr().out.split() == ["first"]
    assert lock.main("keep", "first", 1800) == 0
    assert lock.main("take", "second", 0) == 0
    assert lock.main("keep", "first", 1800) == lock.TAKEN
    assert lock.main("free", "second", 1800) == 0
    assert lock.main("take", "first", 1800) == 0
