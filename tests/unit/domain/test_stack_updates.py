"""What a stack image is made of, and what of it has a newer version."""

import importlib.util
import json
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from dynoform.domain import sbom, stack_updates
from dynoform.domain.sbom import Package
from dynoform.domain.stack_updates import Update
from dynoform.errors import InvalidInputError, UnavailableError

PROGRAM = Path(__file__).parents[3] / "images/stack-13/sbom"
STATUS = """\
Package: libssl3t64
Status: install ok installed
Architecture: amd64
Source: openssl
Version: 3.5.1-1+deb13u1
Description: Secure Sockets Layer toolkit - shared libraries
 Package: none, only a description that says so
 .
 More of it.

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: base-files
Status: install ok installed
Architecture: amd64
Version: 13.8+deb13u1
"""
SFTP = """\
Package: openssh-sftp-server
Status: install ok installed
Architecture: amd64
Source: openssh (1:10.0p1-7)
Version: 1:10.0p1-7+b1
"""
POLICY = """\
Get:1 http://deb.debian.org/debian trixie InRelease
== policy ==
libssl3t64:
  Installed: 3.5.1-1+deb13u1
  Candidate: 3.5.4-1~deb13u2
  Version table:
     3.5.4-1~deb13u2 500
        500 http://deb.debian.org/debian-security trixie-security/main amd64 Packages
     3.5.4-1~deb13u1 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
 *** 3.5.1-1+deb13u1 100
        100 /var/lib/dpkg/status
base-files:
  Installed: 13.8+deb13u1
  Candidate: 13.8+deb13u2
  Version table:
     13.8+deb13u2 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
 *** 13.8+deb13u1 100
        100 /var/lib/dpkg/status
openssh-sftp-server:
  Installed: (none)
  Candidate: 1:10.0p1-7+b1
  Version table:
     1:10.0p1-7+b1 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
"""
SSL = Update("libssl3t64", "openssl", "3.5.1-1+deb13u1", "3.5.4-1~deb13u2", "trixie-security", security=True)


@pytest.fixture
def program() -> ModuleType:
    spec = importlib.util.spec_from_loader("sbom_program", SourceFileLoader("sbom_program", str(PROGRAM)))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """As much of an image as its bill is made from."""
    files = {
        "var/lib/dpkg/status": STATUS,
        "var/lib/dpkg/status.d/openssh-sftp-server": SFTP,
        "usr/local/lib/node_modules/npm/package.json": '{"name": "npm", "version": "10.9.4"}',
        "usr/local/lib/node_modules/npm/node_modules/@npmcli/fs/package.json": '{"name": "@npmcli/fs", "version": "4"}',
        "usr/local/lib/node_modules/npm/node_modules/@npmcli/fs/lib/package.json": '{"type": "commonjs"}',
        "opt/dynoform/dyno": "#!/bin/sh\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_bill_names_what_is_installed_by_package_urls(program: ModuleType, root: Path) -> None:
    found = program.bill("run", root)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    references = [each["bom-ref"] for each in found["components"]]
    assert len(set(references)) == len(references) == 7
    assert [each.get("purl") for each in found["components"][1:]] == [
        None,
        "pkg:deb/debian/base-files@13.8%2Bdeb13u1?arch=amd64&distro=debian-13",
        "pkg:deb/debian/libssl3t64@3.5.1-1%2Bdeb13u1?arch=amd64&distro=debian-13&upstream=openssl",
        "pkg:deb/debian/openssh-sftp-server@1:10.0p1-7%2Bb1?arch=amd64&distro=debian-13&upstream=openssh%401:10.0p1-7",
        "pkg:npm/%40npmcli/fs@4",
        "pkg:npm/npm@10.9.4",
    ]


def test_a_bill_says_the_same_of_the_same_and_another_thing_of_any_change(program: ModuleType, root: Path) -> None:
    def made() -> str:
        return sbom.version(json.dumps(program.bill("run", root), sort_keys=True))

    first = made()
    (root / sbom.FILE.lstrip("/")).write_text("{}")  # a build anew finds the former one, and other times
    (root / "var/lib/dpkg/status").touch()
    assert made() == first
    (root / "opt/dynoform/dyno").write_text("#!/bin/bash\n")
    second = made()
    (root / "var/lib/dpkg/status").write_text(STATUS.replace("3.5.1-1+deb13u1", "3.5.4-1~deb13u2"))
    assert len({first, second, made()}) == 3


def test_packages_are_read_back_with_their_source(program: ModuleType, root: Path) -> None:
    assert sbom.packages(sbom.read(json.dumps(program.bill("run", root)))) == [
        Package("base-files", "13.8+deb13u1", "base-files"),
        Package("libssl3t64", "3.5.1-1+deb13u1", "openssl"),
        Package("openssh-sftp-server", "1:10.0p1-7+b1", "openssh"),
    ]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"bomFormat": "SPDX", "components": []}', "[" * 100_000])
def test_what_is_no_bill_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        sbom.read(text)
    assert str(refused.value) == "bill of materials: is no CycloneDX document — build the stack image again"


def found_in(policy: str, packages: list[Package]) -> list[Update]:
    return stack_updates.find(packages, policy)


def test_updates_are_told_with_where_they_come_from(program: ModuleType, root: Path) -> None:
    packages = sbom.packages(sbom.read(json.dumps(program.bill("run", root))))
    files = Update("base-files", "base-files", "13.8+deb13u1", "13.8+deb13u2", "trixie", security=False)
    assert found_in(POLICY, packages) == [files, SSL]
    assert found_in(POLICY.replace("== policy ==", "W: one\n== policy =="), packages) == [files, SSL]
    superseded = POLICY.replace("1:10.0p1-7+b1", "1:10.0p1-8")
    assert [update.package for update in found_in(superseded, packages)] == [
        "base-files",
        "libssl3t64",
        "openssh-sftp-server",  # of which the image has a file, and not the package
    ]


def test_what_security_has_mended_before_a_point_release_took_it_over_counts() -> None:
    policy = """\
== policy ==
openssl:
  Candidate: 3
  Version table:
     3 500
        500 http://deb.debian.org/debian trixie/main amd64 Packages
     2 500
        500 http://deb.debian.org/debian-security trixie-security/main amd64 Packages
 *** 1 100
        100 /var/lib/dpkg/status
"""
    (update,) = found_in(policy, [Package("openssl", "1", "openssl")])
    assert (update.candidate, update.suite, update.security) == ("3", "trixie", True)
    (update,) = found_in(policy, [Package("openssl", "2", "openssl")])
    assert (update.candidate, update.security) == ("3", False)
    assert found_in(policy, [Package("openssl", "3", "openssl"), Package("unknown", "1", "unknown")]) == []


def test_what_is_newer_here_than_in_the_archive_is_left_alone() -> None:
    policy = """\
== policy ==
openssl:
  Candidate: 2
  Version table:
 *** 3 100
        100 /var/lib/dpkg/status
     2 990
        990 http://deb.debian.org/debian trixie/main amd64 Packages
"""
    assert found_in(policy, [Package("openssl", "3", "openssl")]) == []


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "Ign:1 http://mirror trixie\nE: Failed to fetch http://mirror 404\n",
            "E: Failed to fetch http://mirror 404",
        ),
        ("", "apt-get said nothing"),
    ],
)
def test_a_mirror_that_does_not_answer_is_no_lack_of_updates(said: str, why: str) -> None:
    with pytest.raises(UnavailableError) as refused:
        found_in(said, [])
    told = f"Debian's package mirror: cannot be asked for updates: {why}"
    assert str(refused.value) == f"{told} — check the host's /etc/apt sources and its network"


def test_a_fingerprint_is_of_what_the_updates_bring() -> None:
    other = Update("zlib1g", "zlib", "1", "2", "trixie", security=False)
    assert stack_updates.fingerprint([]) == ""
    assert stack_updates.fingerprint([SSL, other]) == stack_updates.fingerprint([other, SSL])
    assert stack_updates.fingerprint([SSL]) != stack_updates.fingerprint([SSL, other])
    assert stack_updates.counted([SSL, other]) == "2 packages, 1 of them from Debian's security archive"
    assert stack_updates.counted([other]) == "1 package"


def test_the_mirror_is_asked_by_one_command_that_no_name_can_leave() -> None:
    (shell, option, script) = stack_updates.command([Package("a; reboot", "1", "a"), Package("b", "1", "b")])
    assert (shell, option) == ("sh", "-c")
    assert script.endswith("apt-cache policy 'a; reboot' b")
