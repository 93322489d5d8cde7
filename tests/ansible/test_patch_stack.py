"""patch_stack.yml: what it runs, what it tells, and when it calls that a change."""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOUND = {
    "stack": "two",
    "stack_image": "0123456789ab",
    "updates": [{"package": "openssl"}, {"package": "libssl3t64"}],
    "build_updates": [{"package": "gcc-14"}],
    "apps": 3,
}
pytestmark = pytest.mark.slow


def play(tmp_path: Path, script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the playbook with a command that does as the script says, and writes down what it was told."""
    command = tmp_path / "dynoform"
    command.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/told\n{script}\n')
    command.chmod(0o755)
    variables = json.dumps({"patch_stack_command": str(command), "patch_stack_name": "two"})
    argv = [ROOT / ".venv/bin/ansible-playbook", "playbooks/patch_stack.yml", "--extra-vars", variables, *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=120)


def said(tmp_path: Path, changed: bool | None) -> str:
    found = FOUND if changed is None else {**FOUND, "changed": changed}
    (tmp_path / "found").write_text(json.dumps(found))
    return f"echo progress >&2; cat {tmp_path}/found"


def test_it_runs_the_command_and_tells_what_was_updated(tmp_path: Path) -> None:
    done = play(tmp_path, said(tmp_path, True))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told").read_text() == "patch --stack two --json\n"
    assert "two, image 0123456789ab: 3 updated (gcc-14, libssl3t64, openssl), 3 apps" in done.stdout
    assert "changed=1" in done.stdout
    again = play(tmp_path, said(tmp_path, False))
    assert (again.returncode, "changed=0" in again.stdout) == (0, True)


def test_a_dry_run_only_looks(tmp_path: Path) -> None:
    done = play(tmp_path, said(tmp_path, None), "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "told").read_text() == "patch --stack two --json --preview\n"
    assert "two, image 0123456789ab: 3 updates (gcc-14, libssl3t64, openssl), 3 apps" in done.stdout
    assert "changed=0" in done.stdout


def test_the_commands_own_line_is_told_when_it_fails(tmp_path: Path) -> None:
    done = play(tmp_path, "echo '… asking' >&2; echo 'error: stack two: does not exist — bin/dynoform up' >&2; exit 1")
    assert done.returncode != 0
    assert "error: stack two: does not exist — bin/dynoform up" in done.stdout
    assert "Traceback" not in done.stdout
