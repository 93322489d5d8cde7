"""Runs of ansible-playbook: what they tell, how they fail, how they end, and what stays secret."""

import fcntl
import os
import shlex
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from providers.dynoform.ansible_run import Host, connection, run_playbook
from providers.dynoform.engine import Operation
from providers.dynoform.errors import InputError, PartialError, ProviderError
from providers.dynoform.playbook import Playbook
from tests.unit.providers.conftest import Lines

LOCAL = Host("localhost", "127.0.0.3", "local")
"""Named by an address of its own: runs on one address wait for each other, and the platform's are on 127.0.0.1."""


def playbook(folder: Path, *tasks: dict[str, Any]) -> str:
    path = folder / "play.yml"
    path.write_text(yaml.safe_dump([{"name": "Play", "hosts": "all", "gather_facts": False, "tasks": list(tasks)}]))
    return str(path)


def command(name: str, words: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "ansible.builtin.command": words, **more}


def test_run_tells_tasks_changes_and_facts(tmp_path: Path, operation: Operation, lines: Lines) -> None:
    facts = {"dynoform": {"answer": "{{ word | length }}"}}
    path = playbook(
        tmp_path,
        command("Read", "true", changed_when=False),
        command("Change", "true", changed_when=True),
        {"name": "Report", "ansible.builtin.set_stats": {"data": facts}},
    )
    outcome = run_playbook(operation, path, LOCAL, {"word": "x" * 200_000})
    assert lines.status == ["Read", "Change", "Report"]
    assert outcome.changes == ["Change"]
    assert outcome.facts == {"answer": 200_000}


def test_check_mode_tells_commands_that_would_run(tmp_path: Path, operation: Operation) -> None:
    path = playbook(
        tmp_path,
        command("Change", "false", changed_when=True),
        command("Change each", "false", changed_when=True, loop=[1, 2]),
        command("Not needed", "false", changed_when=True, when=False),
    )
    assert run_playbook(operation, path, LOCAL, {}, check=True).changes == ["Change", "Change each"]


def test_failure_names_host_task_and_reason(tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, command("Break it", "sh -c 'echo disk full >&2; exit 3'", changed_when=True))
    told = (
        r"play.yml: localhost: Break it: .*non-zero return code: disk full — mend that on the host, then run 'up' again"
    )
    with pytest.raises(ProviderError, match=told):
        run_playbook(operation, path, LOCAL, {})


def test_failure_that_tells_the_next_step_itself_is_left_alone(tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, {"name": "Refuse", "ansible.builtin.fail": {"msg": "x: is wrong — set it to y"}})
    with pytest.raises(ProviderError, match=r"x: is wrong — set it to y$"):
        run_playbook(operation, path, LOCAL, {})


def test_full_disk_of_the_host_has_a_next_step(tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, command("Write", "cp /etc/passwd /dev/full"))
    with pytest.raises(ProviderError, match=r"(?i)no space left on device — free disk space on the host"):
        run_playbook(operation, path, LOCAL, {})


def install(tmp_path: Path) -> dict[str, Any]:
    """A task that reads package lists, in a folder of its own, from a mirror that is not there."""
    (tmp_path / "lists" / "partial").mkdir(parents=True)
    (tmp_path / "sources.list").write_text("deb http://127.0.0.1:9/debian stable main\n")
    settings = {
        "Etc::sourcelist": "sources.list",
        "Etc::sourceparts": "none",
        "State::lists": "lists",
        "Cache": "cache",
    }
    lines = [f'Dir::{name} "{tmp_path / value}";' for name, value in settings.items()]
    (tmp_path / "apt.conf").write_text("\n".join(lines))
    return {
        "name": "Install",
        "ansible.builtin.apt": {"update_cache": True, "update_cache_retries": 1, "lock_timeout": 1},
        "environment": {"APT_CONFIG": str(tmp_path / "apt.conf")},
    }


@pytest.mark.slow
def test_package_lists_that_another_program_has_locked_are_told(tmp_path: Path, operation: Operation) -> None:
    task = install(tmp_path)
    with (tmp_path / "lists" / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        with pytest.raises(ProviderError, match="— another program installs packages there: wait for it"):
            run_playbook(operation, playbook(tmp_path, task), LOCAL, {})


@pytest.mark.parametrize("said", ["Missing sudo password", "sudo: a password is required"])
def test_sudo_that_asks_for_a_password_is_told(said: str, tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, {"name": "Become root", "ansible.builtin.fail": {"msg": said}})
    with pytest.raises(ProviderError, match=f"{said} — let the host's user use sudo without a password"):
        run_playbook(operation, path, LOCAL, {})


@pytest.mark.slow
def test_dead_package_mirror_is_told_with_what_to_mend(tmp_path: Path, operation: Operation) -> None:
    task = install(tmp_path)
    told = r"Install: Failed to update apt cache after 1 retries.* — mend the host's package sources \(/etc/apt\)"
    with pytest.raises(ProviderError, match=told):
        run_playbook(operation, playbook(tmp_path, task), LOCAL, {})


def test_rescued_failure_is_none(tmp_path: Path, operation: Operation) -> None:
    rescued = {"name": "Try", "block": [command("Break it", "false")], "rescue": [command("Mend it", "true")]}
    assert run_playbook(operation, playbook(tmp_path, rescued), LOCAL, {}).changes == ["Mend it"]


def test_broken_playbook_is_told_in_one_line(tmp_path: Path, operation: Operation) -> None:
    path = tmp_path / "play.yml"
    path.write_text("- hosts: all\n  tasks: [{no.such.module: {}}]\n")
    with pytest.raises(ProviderError, match=r"play.yml: .*no.such.module") as caught:
        run_playbook(operation, str(path), LOCAL, {})
    assert "\n" not in str(caught.value)


def test_secrets_are_in_no_argument_environment_or_file(
    tmp_path: Path, operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"s3cret-{os.getpid()}"
    look = """
      for p in /proc/[0-9]*; do cat $p/cmdline $p/environ 2>/dev/null | tr '\\0' '\\n' | grep -c "s3cret-[0-9]" ; done |
      grep -v '^0$'; grep -rls "s3cret-[0-9]" /tmp/dynoform-* && exit 1; exit 0"""
    path = playbook(
        tmp_path,
        {"name": "Look", "ansible.builtin.shell": look, "register": "seen", "changed_when": False},
        {"name": "Report", "ansible.builtin.set_stats": {"data": {"dynoform": {"seen": "{{ seen.stdout }}"}}}},
    )
    monkeypatch.setenv("DYNOFORM_TEST_PASSPHRASE", secret)
    assert run_playbook(operation, path, LOCAL, {"token": secret}).facts == {"seen": ""}


def test_cancelled_run_takes_its_children_along(tmp_path: Path, operation: Operation) -> None:
    marker = tmp_path / "pid"
    path = playbook(tmp_path, command("Wait", f"sh -c 'echo $$ > {marker}; exec sleep 60'", changed_when=True))
    timer = threading.Thread(target=lambda: (_wait_for(marker), operation.cancelled.set()))
    timer.start()
    with pytest.raises(ProviderError, match="was cancelled — run it again to continue"):
        run_playbook(operation, path, LOCAL, {})
    timer.join(150)
    pid = int(marker.read_text())
    deadline = time.monotonic() + 60
    while _lives(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(pid)


def test_run_that_takes_too_long_is_ended(tmp_path: Path, operation: Operation) -> None:
    operation.timeout = 2.0
    with pytest.raises(ProviderError, match="took longer than allowed"):
        run_playbook(operation, playbook(tmp_path, command("Wait", "sleep 60")), LOCAL, {})


def test_two_runs_on_a_host_take_turns(tmp_path: Path, lines: Lines) -> None:
    log, go = tmp_path / "log", tmp_path / "go"
    words = f"sh -c 'echo in >> {log}; until [ -e {go} ]; do sleep 0.1; done; echo out >> {log}'"
    path = playbook(tmp_path, command("Write", words))
    runs = [threading.Thread(target=run_playbook, args=(Operation("urn::a", lines), path, LOCAL, {})) for _ in range(2)]
    for run in runs:
        run.start()
    deadline = time.monotonic() + 120
    while "waits for another run on localhost" not in lines.status and time.monotonic() < deadline:
        time.sleep(0.05)
    go.touch()
    for run in runs:
        run.join(120)
    assert log.read_text().split() == ["in", "out", "in", "out"]
    assert "waits for another run on localhost" in lines.status


def test_failed_playbook_is_remembered_and_run_again(tmp_path: Path, operation: Operation) -> None:
    inputs: dict[str, Any] = {
        "playbook": playbook(tmp_path, command("Break it", "false")),
        "host": {"name": "localhost", "address": LOCAL.address, "connection": "local"},
        **Playbook.optional,
    }
    with pytest.raises(PartialError, match="Break it") as caught:
        Playbook().create(operation, inputs)
    assert caught.value.identifier == f"localhost:{inputs['playbook']}"
    assert Playbook().diff(caught.value.outputs, inputs).changed == {"drift"}
    playbook(tmp_path, command("Mend it", "true"))
    values = Playbook().update(operation, caught.value.identifier, caught.value.outputs, inputs)
    assert (values["changed"], values["drift"]) == (True, [])
    assert not Playbook().diff(values, inputs).changed


def test_refresh_finds_drift_and_a_host_that_does_not_answer(tmp_path: Path, operation: Operation) -> None:
    file = tmp_path / "file"
    copy = {"name": "Write", "ansible.builtin.copy": {"content": "x", "dest": str(file), "mode": "0644"}}
    inputs: dict[str, Any] = {
        "playbook": playbook(tmp_path, copy),
        "host": {"name": "localhost", "address": LOCAL.address, "connection": "local"},
        **Playbook.optional,
    }
    identifier, values = Playbook().create(operation, inputs)
    assert Playbook().read(operation, identifier, values) == {**values, "drift": []}
    file.write_text("other")
    assert Playbook().read(operation, identifier, values) == {**values, "drift": ["Write"]}
    playbook(tmp_path, command("Ask", "false", check_mode=False))
    state = Playbook().read(operation, identifier, values)
    assert state is not None
    assert "localhost: Ask: " in state["drift"][0]


def test_a_host_that_ssh_does_not_reach_is_told_with_what_to_look_at(tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, command("Ask", "true", changed_when=False))
    nobody = Host("far", "127.0.0.1", "ssh", user="admin", port=1, key_file="/keys/one", known_hosts="/keys/known")
    with pytest.raises(ProviderError) as caught:
        run_playbook(operation, path, nobody, {})
    assert "far: Ask: " in str(caught.value)
    assert str(caught.value).endswith("— see that the host runs and its SSH port can be reached")


def test_ssh_asks_nothing_and_takes_no_other_host_key_than_the_known_one(tmp_path: Path, operation: Operation) -> None:
    connection = "{{ {'arguments': ansible_ssh_common_args, 'key': ansible_ssh_private_key_file | default('none')} }}"
    report = {"name": "Report", "ansible.builtin.set_stats": {"data": {"dynoform": connection}}}
    path = playbook(tmp_path, report)
    given = Host("one", "10.0.0.1", "ssh", key_file="/keys/one", known_hosts="/keys/known hosts", jump="admin@door:22")
    found = run_playbook(operation, path, given, {}).facts
    direct = (
        "-o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=yes "
        "-o ServerAliveInterval=5 -o 'UserKnownHostsFile=/keys/known hosts'"
    )
    through = f"ssh {direct} -o IdentityFile=/keys/one -W '[%h]:%p' ssh://admin@door:22"
    assert shlex.split(found["arguments"]) == [*shlex.split(direct), "-o", f"ProxyCommand={through}"]
    assert found["key"] == "/keys/one"
    first = run_playbook(operation, path, Host("one", "10.0.0.1", "ssh"), {}).facts
    assert first == {
        "arguments": "-o BatchMode=yes -o ConnectTimeout=10 -o StrictHostKeyChecking=accept-new "
        "-o ServerAliveInterval=5",
        "key": "none",
    }


def test_a_connection_that_is_kept_is_not_taken_for_another_host_of_the_same_address() -> None:
    """Two fleets may have the same private addresses behind different jump hosts."""
    hosts = [Host("one", "10.0.0.1", "ssh", jump=jump) for jump in ("admin@here", "admin@there", "admin@here")]
    folders = [connection(host)["ansible_control_path_dir"] for host in hosts]
    assert folders[0] == folders[2] != folders[1]
    # A socket's path has at most 107 characters, of which SSH takes some for itself.
    assert len(Path(folders[0]).expanduser().as_posix()) < 70


def test_tasks_are_delegated_to_hosts_beside_the_one_that_the_play_is_for(tmp_path: Path, operation: Operation) -> None:
    path = playbook(tmp_path, command("Ask", "true", changed_when=False, delegate_to="other"))
    assert run_playbook(operation, path, LOCAL, {}, beside=[Host("other", "127.0.0.4", "local")]).changes == []
    with pytest.raises(ProviderError, match=r"host '?127\.0\.0\.4"):  # told by ssh, or of ssh being gone
        run_playbook(operation, path, LOCAL, {}, beside=[Host("other", "127.0.0.4", "ssh", port=1)])


def test_another_way_to_the_same_host_makes_no_new_resource() -> None:
    host = {"name": "one", "address": "10.0.0.1", "connection": "ssh"}
    inputs = Playbook().check({"playbook": "playbooks/host.yml", "host": host})
    found = Playbook().diff(inputs, inputs | {"host": host | {"user": "admin"}})
    assert (found.changed, found.replaces) == ({"host"}, set())
    elsewhere = Playbook().diff(inputs, inputs | {"host": host | {"address": "10.0.0.2"}})
    assert elsewhere.replaces == {"host"}


def test_removal_runs_the_absent_playbook(tmp_path: Path, operation: Operation) -> None:
    file = tmp_path / "file"
    file.touch()
    absent = {"name": "Remove", "ansible.builtin.file": {"path": "{{ path }}", "state": "absent"}}
    host = {"name": "localhost", "address": LOCAL.address, "connection": "local"}
    state = {**Playbook.optional, "host": host, "playbook": "unused.yml", "variables": {"path": str(file)}}
    Playbook().delete(operation, "id", {**state, "absentPlaybook": playbook(tmp_path, absent)})
    assert not file.exists()


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"playbook": "playbooks/no.yml"}, "playbook: is 'playbooks/no.yml', which is not in the project"),
        ({"host": {"name": "a"}}, "host: has the keys name — give address, connection, name, and of"),
        (
            {"host": {"name": "a", "address": "b", "connection": "winrm"}},
            "host: has the connection 'winrm' — use local",
        ),
    ],
)
def test_wrong_inputs_are_refused_first(inputs: dict[str, Any], message: str) -> None:
    good = {"playbook": "playbooks/host.yml", "host": {"name": "a", "address": "b", "connection": "ssh"}}
    assert Playbook().check(good)["contentHash"]
    with pytest.raises(InputError) as caught:
        Playbook().check({**good, **inputs})
    assert str(caught.value).startswith(message)


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not (path.exists() and path.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
