"""The direction of imports: domain knows nothing of ours, workers know domain and store and not each other.

Pulumi's side (components, providers) and the platform's own software meet in domain alone: both ask the same rules.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHARED = {f"dynoform.{path.stem}" for path in (ROOT / "dynoform").glob("[a-z]*.py")}
"""Small modules that every process uses: errors, configuration, journal …"""
ROOTS = ("dynoform", "components", "packages", "policies", "providers")
WORKERS = ("addons", "agent", "api", "build", "certificates", "git", "logplex", "reconcile", "router", "run")
ALLOWED = {
    "dynoform/domain": {"dynoform.domain", "dynoform.errors"},
    "dynoform/store": {"dynoform.domain", "dynoform.store", *SHARED},
    "dynoform/cli": {"dynoform.cli", "dynoform.domain", "dynoform.errors"},
    "components": {"components", "providers", "dynoform.domain", "dynoform.errors"},
    "providers": {"providers"},
    "policies": {"policies", "providers", "dynoform.domain"},
    "packages": {"packages", "components", "dynoform.domain", "dynoform.errors"},
    **{
        f"dynoform/{worker}": {
            f"dynoform.{worker}",
            "dynoform.domain",
            "dynoform.store",
            "dynoform.logplex_client",
            *SHARED,
        }
        for worker in WORKERS
    },
}
ALLOWED["dynoform/cli"].add("providers.ssh_tunnel")
"""The command reaches a host's engine as the docker plugin does."""
ALLOWED["dynoform/cli"].add("dynoform.attempts")
"""It tries again as the platform does. The other shared modules are the platform's, and need its packages."""
ALLOWED["dynoform/api"].add("dynoform.git")
"""The API serves git; git knows nothing of the API."""
ALLOWED["dynoform/agent"].add("dynoform.run")
"""The runtime agent runs one-off dynos; they know nothing of it."""


def imported(path: Path) -> set[str]:
    """Full names of the modules of ours that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.relative_to(ROOT).parts[: -node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ROOTS}


def within(name: str, allowed: set[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_go_one_way(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in sorted(imported(path))
        if not within(name, ALLOWED[folder])
    ]
    assert wrong == []


def test_every_package_has_a_rule() -> None:
    packages = {f"dynoform/{path.parent.name}" for path in (ROOT / "dynoform").glob("*/__init__.py")}
    assert packages <= set(ALLOWED)
