"""The components as a package for other languages: its schema, and programs that use it, by Pulumi's own CLI."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynoform.cli.places import CHECKOUT
from dynoform.cli.tools.plugins import write_wrapper
from tests import go_programs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
CLI = CHECKOUT / ".venv/bin/pulumi"
PACKAGE = CHECKOUT / "packages/components"
EXAMPLE = CHECKOUT / "examples/package"
YAML = CHECKOUT / "tests/pulumi-yaml"
LANGUAGE_HOST = CHECKOUT / "providers/python_language/pulumi-language-python"
PLUGINS = {
    "providers": [
        {"name": "dynoform", "path": str(CHECKOUT / "providers/dynoform")},
        {"name": "dynoform-components", "path": str(PACKAGE)},
    ]
}
SHOP: dict[str, Any] = {
    "api": {"url": "https://localhost:1", "caCertPem": "PEM", "token": "hush"},
    "name": "shop",
    "source": str(CHECKOUT / "examples/apps/python"),
}


@dataclass
class Project:
    """A program with a state of its own, and the CLI."""

    folder: Path
    home: Path

    def pulumi(self, *words: str, seconds: float = 300) -> "subprocess.CompletedProcess[str]":
        environ = {
            "HOME": str(self.home),
            "PATH": f"{self.home / 'bin'}{os.pathsep}{os.defpath}",
            "PULUMI_HOME": str(self.home / "pulumi"),
            "PULUMI_BACKEND_URL": f"file://{self.home}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        }
        argv = [str(self.home / "bin/pulumi"), "--non-interactive", "--color", "never", *words]
        return subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, timeout=seconds)

    def planned(self) -> dict[str, dict[str, Any]]:
        """What a preview would create: name → inputs, with type and parent."""
        done = self.pulumi("preview", "--json", "--stack", "test")
        assert done.returncode == 0, done.stdout + done.stderr
        states = [step["newState"] for step in json.loads(done.stdout)["steps"] if step["op"] == "create"]
        return {f"{state['type']} {state['urn'].rpartition('::')[2]}": state for state in states}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    assert CLI.exists(), "no Pulumi CLI in the virtualenv — run bin/dynoform test, which brings it"
    found = Project(tmp_path / "program", tmp_path / "home")
    (found.home / "bin").mkdir(parents=True)
    found.folder.mkdir()
    (found.home / "bin/pulumi").hardlink_to(CLI.resolve())
    write_wrapper(found.home / "bin/pulumi-language-python", LANGUAGE_HOST)
    docker = found.home / "pulumi/plugins/resource-docker-v5.2.0/pulumi-resource-docker"
    write_wrapper(docker, CHECKOUT / "providers/docker/pulumi-resource-docker")
    yield found


def python(project: Project, kind: str, values: dict[str, Any]) -> None:
    """A program that knows nothing of the components but the package's name."""
    text = f"import pulumi\nvalues = {values!r}\n"
    text += f"pulumi.ComponentResource('dynoform-components:index:{kind}', 'mine', values, remote=True)\n"
    (project.folder / "__main__.py").write_text(text)
    runtime = {"name": "python", "options": {"virtualenv": str(CHECKOUT / ".venv")}}
    (project.folder / "Pulumi.yaml").write_text(json.dumps({"name": "other", "runtime": runtime, "plugins": PLUGINS}))
    done = project.pulumi("stack", "init", "test")
    assert done.returncode == 0, done.stderr


def test_schema_says_every_property_with_a_description(
    project: Project, same_as_recorded: Callable[[str, Any], None]
) -> None:
    done = project.pulumi("package", "get-schema", str(PACKAGE))
    assert done.returncode == 0, done.stdout + done.stderr
    schema = json.loads(done.stdout)
    described = [*schema["resources"].values(), *schema["types"].values()]
    parts = [one.get(part, {}) for one in described for part in ("properties", "inputProperties")]
    properties = [each for part in parts for each in part.values()]
    assert properties and all(each.get("description") for each in properties)
    same_as_recorded("package", schema)


def test_an_app_from_another_program_is_the_same_resource(project: Project) -> None:
    python(project, "App", {**SHOP, "config": {"A": "b"}, "formation": {"web": {"quantity": 2, "size": "Eco"}}})
    planned = project.planned()
    app = planned["dynoform:index:App mine"]["inputs"]
    assert (app["name"], app["formation"]) == ("shop", {"web": {"quantity": 2, "size": "Eco"}})
    assert "hush" not in json.dumps(planned)
    assert planned["dynoform:index:App mine"]["parent"].endswith("::dynoform-components:index:App::mine")


def test_a_fleet_from_another_program_has_its_roles(project: Project) -> None:
    hosts = {
        "one": {"address": "one.example.com", "privateAddress": "10.0.0.1", "platform": True, "knownHosts": "/known"},
        "two": {"address": "10.0.0.2", "role": "worker", "port": 2222},
    }
    python(project, "Fleet", {"hosts": hosts})
    planned = project.planned()
    plays = {key.rpartition(" ")[2]: state["inputs"] for key, state in planned.items() if ":Playbook " in key}
    assert set(plays) == {"mine-one-roles", "mine-two-roles"}
    assert plays["mine-two-roles"]["variables"]["swarm_node_join_address"] == "10.0.0.1:2377"
    assert plays["mine-two-roles"]["host"]["port"] == 2222
    assert plays["mine-one-roles"]["host"]["known_hosts"] == "/known"


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("App", {**SHOP, "source": None}, "Missing required input 'source' on 'App'"),
        (
            "Fleet",
            {"hosts": {"one": {"address": "10.0.0.1", "platform": True}, "two": {"address": "10.0.0.2"}}},
            "fleet mine: hosts: 2 are managers (one, two), of which none may be lost more than of one less "
            "— make it an odd number",
        ),
    ],
    ids=["missing", "contradiction"],
)
def test_what_is_wrong_is_told_as_in_a_stack(project: Project, kind: str, values: dict[str, Any], message: str) -> None:
    python(project, kind, values)
    done = project.pulumi("preview", "--json", "--stack", "test")
    assert done.returncode != 0
    said = [each["message"] for each in json.loads(done.stdout)["diagnostics"]]
    assert any(message in each for each in said), said


def test_example_in_yaml_declares_the_app(project: Project) -> None:
    try:
        programs = go_programs.bring(YAML, ["github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"])
    except AssertionError as error:
        pytest.skip(f"pulumi-language-yaml is missing, and does not build from its Go module: {error}")
    (project.home / "bin/pulumi-language-yaml").symlink_to(programs / "pulumi-language-yaml")
    program = yaml.safe_load((EXAMPLE / "Pulumi.yaml").read_text())
    shutil.copytree(CHECKOUT / "examples/apps/python", project.folder.parent / "apps/python")
    for plugin in program["plugins"]["providers"]:
        plugin["path"] = str((EXAMPLE / plugin["path"]).resolve())
    (project.folder / "Pulumi.yaml").write_text(yaml.safe_dump(program))
    assert project.pulumi("stack", "init", "test").returncode == 0
    for key, value in {"apiUrl": "https://localhost:1", "caCertPem": "PEM"}.items():
        assert project.pulumi("config", "set", key, value, "--stack", "test").returncode == 0
    assert project.pulumi("config", "set", "--secret", "apiKey", "hush", "--stack", "test").returncode == 0
    planned = project.planned()
    app = planned["dynoform:index:App shop"]["inputs"]
    assert app["formation"] == {"web": {"quantity": 2, "size": "Standard-1X"}}
    assert "hush" not in json.dumps(planned)
