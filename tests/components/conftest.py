"""Records what the program declares, and compares it with what was recorded before."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TREES = Path(__file__).parent / "trees"
ON_A_DOMAIN = {
    "dynoform:domain": "apps.example.com",
    "dynoform:httpPort": "80",
    "dynoform:httpsPort": "443",
    "dynoform:listenAddress": "0.0.0.0",  # noqa: S104 - as an operator says it
    "dynoform:platformPort": "7400",
    "dynoform:email": "operator@example.com",
    "dynoform:dynoSubnet": "172.29.0.0/22",
    "dynoform:platformSubnet": "172.29.4.0/24",
}
"""Settings of a stack that others reach, without its hosts."""


@pytest.fixture(scope="session")
def declare() -> Callable[[dict[str, str]], list[dict[str, Any]]]:
    """The resources that the program declares under a configuration, by type and name."""

    return lambda configuration: list(_recorded(configuration))


@pytest.fixture(scope="session")
def export() -> Callable[[dict[str, str]], dict[str, Any]]:
    """What the program exports under a configuration."""
    return lambda configuration: dict(_recorded(configuration, "exports"))


@pytest.fixture(scope="session")
def instance() -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """The resources that the program of add-ons declares for an instance, by type and name."""
    return lambda told: list(_recorded(told, "instance"))


def _recorded(configuration: dict[str, Any], *words: str) -> Any:
    command = [sys.executable, "-m", "tests.components.recorder", *words]
    text = json.dumps(configuration)
    done = subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def same_as_recorded(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """Compare with ``trees/<name>.json``; ``--record`` writes it instead."""

    def compare(name: str, tree: Any) -> None:
        path = TREES / f"{name}.json"
        text = json.dumps(tree, indent=1, sort_keys=True) + "\n"
        if request.config.getoption("--record"):
            path.write_text(text)
        assert text == path.read_text(), f"{path.name} differs: read the change, then run pytest --record"

    return compare
