"""What h2spec, others' conformance tests of HTTP/2 (RFC 9113, RFC 7541), find in the router."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from dynoform.cli.places import CHECKOUT
from tests import go_programs
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.under_test import RouterUnderTest, log_plane, running

__all__ = ["parts"]

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(1200)]

MODULE = CHECKOUT / "tests" / "h2spec"
PACKAGE = "github.com/summerwind/h2spec/cmd/h2spec"
FEWEST = 140
"""Tests that there are at least: fewer, and they did not run."""


@pytest.fixture(scope="module")
def h2spec() -> Path:
    return go_programs.bring(MODULE, [PACKAGE]) / "h2spec"


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    with log_plane() as logplex, running(parts, logplex, tmp_path_factory.mktemp("router")) as found:
        yield found


def test_h2spec_finds_nothing_that_is_not_known(router: RouterUnderTest, h2spec: Path, tmp_path: Path) -> None:
    router.route(router.dyno(1, 21001))
    report = tmp_path / "report.xml"
    # It asks for the address that it connects to, which is a name of the API's.
    command = [h2spec, "--tls", "--insecure", "--port", str(router.https), "--junit-report", report]
    command += ["--timeout", "5"]
    subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    cases = [*ElementTree.parse(report).iter("testcase")]  # noqa: S314 - the test's own file
    failed = {f"{case.get('package')}: {case.get('classname')}" for case in cases if case.find("failure") is not None}
    assert len(cases) >= FEWEST
    assert failed == set()
    assert router.get("shop.localhost", tls=True).status == 200
