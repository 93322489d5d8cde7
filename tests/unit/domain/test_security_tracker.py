"""Versions in dpkg's order, and what Debian's tracker says of them."""

import shutil
import subprocess
import zlib
from itertools import product

import pytest

from dynoform.domain import security_tracker
from dynoform.domain.debian_versions import Version, source
from dynoform.errors import InvalidInputError

VERSIONS = (
    "1 1.0 1.00 1.0~rc1 1.0~~ 1.0a 1.0+dfsg-1 1.0-1 1.0-1+b1 1.0-1~deb13u1 1.0-10 1:0 2:1.0-1 3.5.4-1~deb13u2 a 1-2-3"
)
DATA = """\
VERSION 1
CVE-2026-1,,one thing
CVE-2026-2,,another, with a comma
TEMP-3-x,,not numbered yet

openssl,0,SM?F,3.5.5-1,3.5.4-1~deb13u2
openssl,1,S ? ,,
zlib,2,S R ,1:1.3-2,
zlib1g,0,B ? ,9,

openssl,libssl3t64 openssl
"""


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    dpkg = shutil.which("dpkg")
    if dpkg is None:
        pytest.skip("dpkg is missing")
    versions = VERSIONS.split()[:-1]  # dpkg refuses what is no version
    versions.remove("a")
    for one, other in product(versions, versions):
        older = subprocess.run([dpkg, "--compare-versions", one, "lt", other], check=False).returncode == 0
        assert (Version(one) < Version(other)) == older, (one, other)
    assert Version("1.0") == Version("1.00")


def test_a_rebuild_has_its_sources_version() -> None:
    assert source("1:10.0p1-7+b1") == "1:10.0p1-7"
    assert source("1.0+b") == "1.0+b"


def test_what_an_update_closes_is_named() -> None:
    tracker = security_tracker.read(zlib.compress(DATA.encode()))
    assert tracker.closed("openssl", "3.5.1-1", "3.5.4-1~deb13u2") == ["CVE-2026-1"]
    assert tracker.closed("openssl", "3.5.1-1", "3.5.4-1~deb13u1") == []
    assert tracker.closed("openssl", "3.5.4-1~deb13u2", "3.5.5-1") == []
    assert tracker.closed("zlib", "1:1.3-1+b1", "1:1.3-2") == ["TEMP-3-x"]
    assert tracker.closed("zlib1g", "1", "9") == tracker.closed("unknown", "1", "2") == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        zlib.compress(b"VERSION 2\n"),
        zlib.compress(b"VERSION 1\nCVE-1,,x\n\nopenssl,7,S   ,1,\n"),
        zlib.compress(b"VERSION 1\nCVE-1,,x\n\nopenssl,0\n"),
        zlib.compress(b"VERSION 1\n\xff\n"),
    ],
)
def test_another_answer_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError) as refused:
        security_tracker.read(data)
    assert str(refused.value) == "answer of Debian's security tracker: has another format — tell us"
