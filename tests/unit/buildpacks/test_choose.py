import subprocess
import sys

import pytest

from tests.unit.buildpacks.conftest import ROOT


def choose(constraint: str, *versions: str) -> tuple[int, str]:
    command = [sys.executable, ROOT / "buildpacks/lib/choose.py", constraint, *versions]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("constraint", "versions", "chosen"),
    [
        ("", "8.2.29 8.4.16", "8.4.16"),
        ("*", "8.2.29 8.4.16", "8.4.16"),
        ("8.2", "8.2.29 8.4.16", "8.2.29"),
        ("8.*", "8.2.29 8.4.16", "8.4.16"),
        ("3.3.x", "3.3.14 3.4.0", "3.3.14"),
        ("^8.2", "8.2.29 8.4.16 9.0.0", "8.4.16"),
        ("^7.4 || ^8.0", "8.4.16", "8.4.16"),
        ("^0.3.1", "0.3.4 0.4.0", "0.3.4"),
        ("~8.2.0", "8.2.29 8.4.16", "8.2.29"),
        ("~> 3.3.0", "3.3.14 3.4.1", "3.3.14"),
        ("~> 3.3.0, < 3.3.10", "3.3.14 3.3.9", "3.3.9"),
        ("~=3.11", "3.11.2 3.13.5 4.0", "3.13.5"),
        (">=3.11,<3.13", "3.13.2 3.11.2", "3.11.2"),
        (">=3.11 <3.13", "3.13.2 3.11.2", "3.11.2"),
        (">8.2", "8.2.9 8.4.1", "8.4.1"),
        ("<=8.2", "8.2.9 8.4.1", "8.2.9"),
        ("!=8.4", "8.2.9 8.4.1", "8.2.9"),
        ("8.2 - 8.3", "8.2.9 8.4.1", "8.2.9"),
        ("v20", "20.19.2 1.22", "20.19.2"),
        ("1.10", "1.9.1 1.10.2", "1.10.2"),
    ],
)
def test_the_newest_version_that_a_constraint_allows_is_chosen(constraint: str, versions: str, chosen: str) -> None:
    assert choose(constraint, *versions.split()) == (0, chosen)


@pytest.mark.parametrize("constraint", ["3.3.6", "^9.0", ">8.4", "~> 3.2.0"])
def test_none_is_said_when_none_is_allowed(constraint: str) -> None:
    assert choose(constraint, "3.3.14", "8.4.1") == (1, "")


@pytest.mark.parametrize("constraint", ["latest", "8.4; rm -rf /", "$(id)"])
def test_what_is_no_constraint_is_told_apart(constraint: str) -> None:
    assert choose(constraint, "8.4.1") == (2, "")
