"""What a killed run leaves is found and put right; what is somebody else's is left alone."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dynoform.cli import recovery
from dynoform.cli.console import Console
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError

URN = "urn:pulumi:local::dynoform::docker:index/service:Service::local-router"


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def locked_by(pid: int, host: str = socket.gethostname()) -> str:
    return (
        "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the "
        "lock file with `pulumi cancel`.\n"
        f"  file:///x/.pulumi/locks/a.json: created by root@{host} (pid {pid}) at 2026-01-01T00:00:00Z"
    )


def test_second_run_is_told_who_has_the_stack(stack: Stack) -> None:
    with (
        recovery.claim(stack),
        pytest.raises(ConflictError, match=f"stack local: process {os.getpid()} is changing it — wait"),
        recovery.claim(stack),
    ):
        pass


def test_claim_ends_with_its_process(stack: Stack) -> None:
    with recovery.claim(stack):
        pass
    with recovery.claim(stack):
        assert (stack.directory / "lock").read_text(encoding="utf-8") == str(os.getpid())


def test_lock_of_a_dead_process_is_removed(
    stack: Stack, console: Console, program: Callable[[Path, str], Path]
) -> None:
    called = stack.directory / "called"
    stack.directory.mkdir(parents=True)
    program(stack.places.pulumi, f'echo "$@" > {called}')
    recovery.break_lock(stack, locked_by(ended_process()), console)
    assert called.read_text(encoding="utf-8").endswith("cancel --yes --stack local\n")


@pytest.mark.parametrize("owner", ["alive", "elsewhere"])
def test_lock_of_somebody_else_is_left(stack: Stack, console: Console, owner: str) -> None:
    output = locked_by(os.getpid()) if owner == "alive" else locked_by(1, "another-host")
    assert recovery.is_locked(output)
    with pytest.raises(ConflictError, match=r"is locked by root@.*pulumi cancel --stack local"):
        recovery.break_lock(stack, output, console)


def test_lock_in_a_backend_that_others_share_is_removed_only_when_it_was_ours(
    stack: Stack, console: Console, program: Callable[[Path, str], Path]
) -> None:
    shared = replace(stack, backend="s3://state")
    stack.directory.mkdir(parents=True)
    called = stack.directory / "called"
    program(stack.places.pulumi, f'echo "$@" > {called}')
    ended = ended_process()
    with pytest.raises(ConflictError) as caught:
        recovery.break_lock(shared, locked_by(ended), console)
    assert str(caught.value) == (
        f"stack local: is locked by root@{socket.gethostname()}, process {ended}, since 2026-01-01T00:00:00Z "
        "— wait for it; if it is dead: pulumi cancel --stack local"
    )
    recovery.remember(shared, ended)
    recovery.break_lock(shared, locked_by(ended), console)
    assert called.read_text(encoding="utf-8").endswith("cancel --yes --stack local\n")
    recovery.forget(shared)
    with pytest.raises(ConflictError, match="is locked by"):
        recovery.break_lock(shared, locked_by(ended), console)


def test_what_ran_before_is_still_known_while_another_one_runs(stack: Stack) -> None:
    stack.directory.mkdir(parents=True)
    ended = ended_process()
    recovery.remember(stack, ended)
    recovery.remember(stack, os.getpid())
    assert [pid for pid, _ in json.loads((stack.directory / "pulumi.pid").read_text(encoding="utf-8"))] == [
        ended,
        os.getpid(),
    ]


def test_orphaned_pulumi_is_asked_to_stop(stack: Stack, console: Console) -> None:
    stack.directory.mkdir(parents=True)
    # Double fork: init adopts the orphan and reaps it, as it does with the `pulumi` of a killed run.
    code = (
        "import os, sys, time\nif os.fork(): os._exit(0)\n"
        "try: print(os.getpid(), flush=True); time.sleep(60)\nexcept KeyboardInterrupt: open(sys.argv[1], 'w').close()"
    )
    saved = stack.directory / "saved"
    starter = subprocess.Popen([sys.executable, "-c", code, str(saved)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout
    with starter.stdout:
        pid = int(starter.stdout.readline())
        starter.wait()
        recovery.remember(stack, pid)
        recovery.end_orphans(stack, console)
    assert saved.exists()


def test_process_that_only_has_the_same_number_is_left(stack: Stack, console: Console) -> None:
    stack.directory.mkdir(parents=True)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (stack.directory / "pulumi.pid").write_text(json.dumps([[other.pid, "1"]]), encoding="utf-8")
    recovery.end_orphans(stack, console)
    assert other.poll() is None
    other.send_signal(signal.SIGKILL)
    other.wait()


def test_pending_creates_are_read_from_the_state() -> None:
    operations = [
        {"type": "creating", "resource": {"urn": URN, "type": "docker:index/service:Service", "inputs": {"name": "r"}}},
        {"type": "deleting", "resource": {"urn": "other"}},
    ]
    (found,) = recovery.pending_creates({"pending_operations": operations})
    assert (found.urn, found.kind, found.inputs) == (URN, "docker:index/service:Service", {"name": "r"})
    assert recovery.pending_creates({}) == []


def pending(urn: str, **resource: object) -> dict[str, object]:
    return {"type": "creating", "resource": {"urn": urn, "custom": True, **resource}}


def test_creates_that_happened_are_taken_in_and_the_rest_forgotten() -> None:
    deleting = {"type": "deleting", "resource": {"urn": "other"}}
    deployment = {
        "manifest": {"version": "3"},
        "resources": [{"urn": "parent"}],
        "pending_operations": [pending(URN, inputs={"name": "r"}, parent="parent"), pending("u2"), deleting],
    }
    after = recovery.settled(deployment, {URN: "abc"})
    router = {"urn": URN, "custom": True, "inputs": {"name": "r"}, "parent": "parent", "id": "abc"}
    assert after["resources"] == [{"urn": "parent"}, router | {"outputs": {"name": "r"}}]
    assert after["pending_operations"] == []
    assert after["manifest"] == {"version": "3"}


def test_a_create_that_the_state_knows_the_end_of_is_not_taken_in_twice() -> None:
    deployment = {"resources": [{"urn": URN, "id": "abc"}], "pending_operations": [pending(URN)]}
    assert recovery.settled(deployment, {URN: "abc"}) == {
        "resources": [{"urn": URN, "id": "abc"}],
        "pending_operations": [],
    }
