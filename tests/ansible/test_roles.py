"""Roles and playbooks hold to the rules: lint, argument specs, names, READMEs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers.dynoform.ansible_run import Host, run_playbook
from providers.dynoform.engine import Operation
from providers.dynoform.playbook import content_hash
from tests.ansible.role_readme import readme, specs

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
TASK_FILES = sorted((ROOT / "roles").glob("*/tasks/*.yml"))

each_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
each_playbook = pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.stem)


def defaults(role: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((role / "defaults/main.yml").read_text()))


def tasks(path: Path) -> Iterator[dict[str, Any]]:
    """All tasks of a file, those in blocks too."""
    pending = list(yaml.safe_load(path.read_text()))
    for task in pending:
        inner = [each for part in ("block", "rescue", "always") for each in task.get(part, [])]
        pending += inner
        if not inner:
            yield task


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "NO_COLOR": "1",
    }
    return subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=800)


def test_ansible_lint_finds_nothing() -> None:
    done = run(BIN / "ansible-lint", "--offline", "-q", "roles", "playbooks", "inventory")
    assert done.returncode == 0, done.stdout + done.stderr


def test_yamllint_finds_nothing() -> None:
    done = run(BIN / "yamllint", "--strict", "roles", "playbooks", "inventory", ".ansible-lint", ".yamllint")
    assert done.returncode == 0, done.stdout


def test_lint_has_all_rules_and_no_skip_list() -> None:
    settings = yaml.safe_load((ROOT / ".ansible-lint").read_text())
    assert settings["profile"] == "production"
    assert set(settings["enable_list"]) == {"role-argument-spec", "name[prefix]", "no-log-password", "no-same-owner"}
    assert not {"skip_list", "warn_list"} & set(settings)


@each_playbook
def test_playbook_is_understood_by_ansible(playbook: Path) -> None:
    done = run(BIN / "ansible-playbook", "--syntax-check", "--inventory", "host,", playbook)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


@each_role
def test_spec_and_defaults_name_the_same_variables(role: Path) -> None:
    options = specs(role)["main"]["options"]
    required = {name for name, option in options.items() if option.get("required")}
    assert set(options) == set(defaults(role)) | required
    assert not required & set(defaults(role))


@each_role
def test_spec_and_defaults_agree_on_values(role: Path) -> None:
    options = specs(role)["main"]["options"]
    fixed = {name: value for name, value in defaults(role).items() if "{{" not in str(value)}
    assert fixed == {name: options[name]["default"] for name in fixed}


@each_role
def test_variables_carry_the_role_s_name(role: Path) -> None:
    public = set(defaults(role)) | set(specs(role)["main"]["options"])
    assert all(name.startswith(f"{role.name}_") for name in public)
    internal = [name for path in (role / "vars").glob("*.yml") for name in yaml.safe_load(path.read_text())]
    assert all(name.startswith(f"__{role.name}_") for name in internal)


@each_role
def test_secrets_are_strings_without_choices(role: Path) -> None:
    # Ansible prints the value of an option that fails a conversion, whatever no_log says.
    for point in specs(role).values():
        for name, option in point["options"].items():
            assert ("no_log" in option) == name.endswith(("_key", "_password", "_token", "_secret")), name
            assert "no_log" not in option or (option["type"] == "str" and "choices" not in option), name


@each_role
def test_readme_is_made_from_the_spec(role: Path, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--record"):
        (role / "README.md").write_text(readme(role))
    assert (role / "README.md").read_text() == readme(role), "write it anew with: pytest tests/ansible --record"


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_tasks_use_what_ansible_itself_brings(path: Path) -> None:
    for task in tasks(path):
        modules = [key for key in task if "." in key]
        assert modules and all(key.startswith("ansible.builtin.") for key in modules), task["name"]


@pytest.mark.parametrize("path", TASK_FILES, ids=lambda path: f"{path.parts[-3]}/{path.stem}")
def test_commands_that_only_read_run_in_check_mode_too(path: Path) -> None:
    for task in tasks(path):
        if "ansible.builtin.command" in task and task["changed_when"] is False:
            waits = "until" in task
            assert waits or task.get("check_mode") is False, task["name"]


def bridges(stack: str, tmp_path: Path) -> list[str]:
    """Names of the bridges that a stack gets."""
    told = {"dynoform": {"bridges": "{{ __dyno_runtime_networks.values() | map(attribute='bridge') | list }}"}}
    tasks = [
        {"name": "Read", "ansible.builtin.include_vars": str(ROOT / "roles/dyno_runtime/vars/main.yml")},
        {"name": "Tell", "ansible.builtin.set_stats": {"data": told}},
    ]
    (tmp_path / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    variables = {name: value for name, value in defaults(ROOT / "roles/dyno_runtime").items() if "{{" not in str(value)}
    operation = Operation("urn:pulumi:test::dynoform::dynoform:index:Playbook::bridges", lambda *_, **__: None)
    host = Host("localhost", "127.0.0.4", "local")
    outcome = run_playbook(operation, str(tmp_path / "play.yml"), host, {**variables, "dyno_runtime_stack": stack})
    return list(outcome.facts["bridges"])


def test_bridges_of_stacks_with_a_long_beginning_in_common_differ(tmp_path: Path) -> None:
    assert bridges("local", tmp_path) == ["dyn-local", "plt-local"]
    assert bridges("a-name-of11", tmp_path) == ["dyn-a-name-of11", "plt-a-name-of11"]
    names = [*bridges("production-east", tmp_path), *bridges("production-east2", tmp_path)]
    assert len(set(names)) == 4
    assert all(len(name) <= 15 for name in names)


def test_hash_changes_with_every_file_of_a_playbook_and_its_roles(tmp_path: Path) -> None:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    play = [{"hosts": "all", "roles": [{"role": "a"}], "tasks": [{"ansible.builtin.include_role": {"name": "b"}}]}]
    (tmp_path / "playbooks/host.yml").write_text(json.dumps(play))
    for role in ("a", "b", "unused"):
        (tmp_path / "roles" / role / "tasks").mkdir(parents=True)
        (tmp_path / "roles" / role / "tasks/main.yml").write_text("[]")
    seen = [content_hash(tmp_path, ["playbooks/host.yml"])]
    for name in (
        "roles/a/tasks/main.yml",
        "roles/b/tasks/main.yml",
        "roles/a/files",
        "playbooks/host.yml",
        "ansible.cfg",
    ):
        with (tmp_path / name).open("a") as stream:
            stream.write("\n# changed\n" if name != "playbooks/host.yml" else " ")
        seen.append(content_hash(tmp_path, ["playbooks/host.yml"]))
    assert len(set(seen)) == len(seen)
    (tmp_path / "roles/unused/tasks/main.yml").write_text("[1]")
    (tmp_path / "roles/a/README.md").write_text("text")
    (tmp_path / "roles/a/library/__pycache__").mkdir(parents=True)
    (tmp_path / "roles/a/library/__pycache__/module.cpython-313.pyc").write_bytes(b"compiled")
    assert content_hash(tmp_path, ["playbooks/host.yml"]) == seen[-1]
