"""patch_kernels.yml on hosts whose packages are real and whose swarm is a file: order, proof, failures, second runs."""

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ansible.machines import NEW, OLD, ROOT, Machines, machines
from tests.ansible.steps import Step, steps
from tests.ansible.test_draining import tied

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for mount namespaces"),
]
PARTS = {"one": "Leader", "two": "Reachable", "three": "Reachable", "four": ""}
on_demand = pytest.mark.fleet
"""Those that take minutes; run by ``bin/dynoform test -m fleet tests/ansible``."""
OTHER_RUNS = ("Put a host back that a killed run has left drained", "upgrade | Install everything")
STEPS = steps("kernel_patching", *("lock", "preflight", "main", "lock"), host="four", asked="one", without=OTHER_RUNS)
AGAIN = "run patch_kernels.yml again with --extra-vars kernel_patching_lock_seconds=0, which goes on here"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Machines]:
    with machines(tmp_path, PARTS) as found:
        yield found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Machines]:
    """The only manager, and a worker."""
    with machines(tmp_path, {"one": "Leader", "four": ""}) as found:
        yield found


def drains(hosts: Machines) -> list[tuple[str, str]]:
    """Node and availability, in the order in which they were set."""
    updates = [call[1:] for call in hosts.state["calls"] if call[1:3] == ["node", "update"]]
    return [(words[-1], words[words.index("--availability") + 1]) for words in updates if "--availability" in words]


def kernels(hosts: Machines) -> dict[str, str]:
    return {name: hosts.run(name, "cat /run/fake-kernel") for name in hosts.processes}


def test_a_worker_is_patched_before_the_manager_and_a_second_run_does_nothing(pair: Machines) -> None:
    pair.set(pair.state | {"services": [tied("test_postgres", host="four")]})
    done = pair.play("patch_kernels", kernel_patching_only_manager="allow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(kernels(pair).values()) == {f"{NEW}-amd64"}
    assert drains(pair) == [(node, word) for node in ("node1", "node0") for word in ("pause", "drain", "active")]
    for each in pair.state["nodes"]:
        assert not {"dynoform.patching", "dynoform.draining"} & set(each["Spec"]["Labels"])
    assert f"four: {OLD}-amd64 6.1.124-1 → {NEW}-amd64 6.1.140-1, closes CVE-2025-38001" in done.stdout
    assert "undrain; meanwhile these stand still, which no other host can run: test_postgres" in done.stdout
    assert re.search(r"closes CVE-2025-38001; these stood still: test_postgres for \d+ s", done.stdout)
    again = pair.play("patch_kernels", kernel_patching_only_manager="allow")
    assert again.returncode == 0, again.stdout
    assert again.stdout.count("changed=0") == 2
    assert "nothing to do, it is the newest" in again.stdout


@on_demand
def test_hosts_are_patched_one_by_one_the_leader_last(hosts: Machines) -> None:
    done = hosts.play("patch_kernels")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(kernels(hosts).values()) == {f"{NEW}-amd64"}
    steps = [(node, word) for node in ("node3", "node1", "node2", "node0") for word in ("pause", "drain", "active")]
    assert drains(hosts) == steps


@on_demand
def test_of_two_runs_that_begin_in_the_same_second_one_is_refused(pair: Machines) -> None:
    command = pair.command("patch_kernels", kernel_patching_window="00:00-00:00")
    how: dict[str, Any] = {"cwd": ROOT, "env": pair.environment(), "text": True, "stdout": subprocess.PIPE}
    runs = [subprocess.Popen(command, **how) for _ in range(2)]
    said = [" ".join(run.communicate(timeout=600)[0].split()) for run in runs]
    refused = ["patch_kernels.yml: another run has these hosts, that of " in each for each in said]
    assert sorted(refused) == [False, True], said
    assert ["the window is 00:00-00:00" in each for each in said] == [not each for each in refused]
    assert drains(pair) == []


@on_demand
def test_the_only_manager_is_not_patched_unasked(pair: Machines) -> None:
    done = pair.play("patch_kernels")
    assert done.returncode != 0
    assert "one: is one of 1 managers, of which 1 can be reached" in " ".join(done.stdout.split())
    assert kernels(pair) == {"one": f"{OLD}-amd64", "four": f"{NEW}-amd64"}


@on_demand
def test_dry_run_tells_what_would_happen_and_does_nothing(hosts: Machines) -> None:
    done = hosts.play("patch_kernels", "--check", kernel_patching_hold="")
    assert done.returncode == 0, done.stdout + done.stderr
    told = (
        f"four (worker) runs {OLD}-amd64 6.1.124-1: drain, upgrade linux-image-{NEW}-amd64, linux-image-amd64, reboot"
    )
    assert told in done.stdout
    assert drains(hosts) == []
    assert set(kernels(hosts).values()) == {f"{OLD}-amd64"}


def test_a_kernel_that_did_not_change_stops_the_run_and_the_next_one_goes_on(pair: Machines) -> None:
    pair.run("four", f"echo {OLD}-amd64 > /etc/boot-loader")
    done = pair.play("patch_kernels")
    assert done.returncode != 0
    told = " ".join(done.stdout.split())
    assert f"four runs {OLD}-amd64 6.1.124-1, not {NEW}-amd64 6.1.140-1, which is installed — see its boot" in told
    assert "No further host is touched. This one may be drained still" in told
    assert kernels(pair) == {"one": f"{OLD}-amd64", "four": f"{OLD}-amd64"}
    four = pair.node("four")
    assert four is not None and four["Spec"]["Availability"] == "drain"
    pair.run("four", "rm /etc/boot-loader")
    again = pair.play("patch_kernels", "--limit", "four")
    assert again.returncode == 0, again.stdout
    assert kernels(pair)["four"] == f"{NEW}-amd64"
    assert {node["Spec"]["Availability"] for node in pair.state["nodes"]} == {"active"}


@on_demand
def test_a_host_that_does_not_come_back_stops_the_run(hosts: Machines) -> None:
    hosts.run("four", "touch /etc/never-boots")
    done = hosts.play("patch_kernels", kernel_patching_reboot_seconds=5)
    assert done.returncode != 0
    assert "upgrade | Boot the newest kernel" in done.stdout
    assert set(kernels(hosts).values()) == {f"{OLD}-amd64"}
    assert {node for node, _ in drains(hosts)} == {"node3"}


@on_demand
def test_a_host_that_somebody_has_drained_is_patched_and_stays_drained(hosts: Machines) -> None:
    assert hosts.play("drain_host", "--limit", "four").returncode == 0
    done = hosts.play("patch_kernels")
    assert done.returncode == 0, done.stdout
    four = hosts.node("four")
    assert four is not None
    assert (four["Spec"]["Availability"], "dynoform.draining" in four["Spec"]["Labels"]) == ("drain", True)
    assert kernels(hosts)["four"] == f"{NEW}-amd64"


@on_demand
def test_a_killed_run_leaves_a_host_that_the_next_one_puts_back(hosts: Machines) -> None:
    command = hosts.command("patch_kernels")
    with subprocess.Popen(
        command,
        cwd="/",
        env=hosts.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as run:
        deadline = time.monotonic() + 300
        while ("node3", "drain") not in drains(hosts):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.1)
        os.killpg(run.pid, 9)
    second = hosts.play("patch_kernels")
    assert second.returncode != 0
    assert "another run has these hosts" in " ".join(second.stdout.split())
    again = hosts.play("patch_kernels", kernel_patching_lock_seconds=0)
    assert again.returncode == 0, again.stdout
    assert {node["Spec"]["Availability"] for node in hosts.state["nodes"]} == {"active"}
    assert set(kernels(hosts).values()) == {f"{NEW}-amd64"}


@on_demand
@pytest.mark.parametrize(
    ("change", "variables", "message"),
    [
        ({"two": {"Status": {"State": "down"}}}, {}, "two: not ready, and one host less would be one too many"),
        ({"two": {"manager": "Unreachable"}}, {}, "is one of 3 managers, of which 2 can be reached"),
        ({}, {"kernel_patching_boot_free_mib": 10**9}, "/boot has"),
        ({}, {"kernel_patching_window": "00:00-00:00"}, "the window is 00:00-00:00 — run this again then"),
    ],
    ids=["a host away", "no majority", "no room", "outside the window"],
)
def test_what_is_in_the_way_is_told_before_anything_is_drained(
    hosts: Machines, change: dict[str, dict[str, object]], variables: dict[str, object], message: str
) -> None:
    hosts.change(**change)
    words = ("--limit", "one,three") if "majority" in message or "managers" in message else ()
    done = hosts.play("patch_kernels", *words, **variables)
    assert done.returncode != 0
    assert message in " ".join(done.stdout.split())
    assert drains(hosts) == []


@on_demand
def test_an_unreachable_host_stops_the_run_before_it_begins(hosts: Machines) -> None:
    hosts.cut("three")
    done = hosts.play("patch_kernels")
    assert done.returncode != 0
    assert "No route to host" in done.stdout + done.stderr
    assert drains(hosts) == []


@on_demand
def test_a_host_that_is_held_is_left_out(hosts: Machines) -> None:
    done = hosts.play("patch_kernels", "--limit", "four", kernel_patching_hold="runs the fair until Monday")
    assert done.returncode == 0, done.stdout
    assert "left out: runs the fair until Monday" in done.stdout
    assert kernels(hosts)["four"] == f"{OLD}-amd64"


@on_demand
@pytest.mark.parametrize("moment", ["pause", "drain"])
def test_a_host_that_is_lost_while_it_is_drained_is_told_with_what_to_do(pair: Machines, moment: str) -> None:
    """No task runs after a host was not reached: see playbooks/callback_plugins."""
    command = [str(word) for word in pair.command("patch_kernels", kernel_patching_reboot_seconds=3)]
    pipe, environment = subprocess.PIPE, pair.environment()
    with subprocess.Popen(command, cwd="/", env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True) as run:
        deadline = time.monotonic() + 600
        while ("node1", moment) not in drains(pair):
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.05)
        pair.cut("four")
        told = " ".join(run.communicate(timeout=600)[0].split())
    assert run.returncode != 0
    assert "four: was not reached at '" in told, told
    assert "This one may be drained still — see that SSH gets in, then run patch_kernels.yml again" in told
    assert kernels_of(pair, "one") == f"{OLD}-amd64"


@on_demand
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.host}, {step.name} {step.time}")
def test_whoever_is_lost_at_a_step_is_told_with_what_to_do_and_that_goes_on(pair: Machines, step: Step) -> None:
    short = {"kernel_patching_reboot_seconds": 3, "kernel_patching_ready_seconds": 5}
    done = pair.play_until(step, "patch_kernels", "--limit", "four", **short)
    told = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0, told
    four = pair.node("four")
    assert four is not None
    left = four["Spec"]["Availability"] != "active" or bool({"dynoform.patching"} & set(four["Spec"]["Labels"]))
    assert not left or "may be drained still" in told, told
    # Who is lost at its boot has failed, not gone: the run has let others in.
    assert AGAIN in told or "run patch_kernels.yml again, which goes on here" in told, told
    if step.host == "one" and "was not reached at" in told:
        assert "four: one was not reached at '" in told, told
    pair.mend(step.host)
    if not drains(pair):
        return  # nothing was changed yet: that the next run is a first one's is tried above
    again = pair.play("patch_kernels", "--limit", "four", kernel_patching_lock_seconds=0)
    assert again.returncode == 0, again.stdout
    four = pair.node("four")
    assert four is not None
    assert (four["Spec"]["Availability"], "dynoform.patching" in four["Spec"]["Labels"]) == ("active", False)
    assert kernels(pair) == {"one": f"{OLD}-amd64", "four": f"{NEW}-amd64"}


def kernels_of(hosts: Machines, name: str) -> str:
    return hosts.run(name, "cat /run/fake-kernel")


@on_demand
def test_a_mirror_that_lacks_a_package_is_told_before_anything_is_drained(pair: Machines) -> None:
    package = pair.folder / f"shared/packages/linux-image-{NEW}-amd64.deb"
    package.write_bytes(package.read_bytes()[:-100])
    done = pair.play("patch_kernels")
    told = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "four: fetch | Fetch the packages: E: Failed to fetch file:/mnt/packages/" in told
    assert "— mend that, then run this again" in told
    assert drains(pair) == []


@on_demand
def test_packages_that_another_program_has_locked_are_waited_for_and_told(pair: Machines) -> None:
    lock = "/var/lib/dpkg/lock-frontend"
    hold = f"import fcntl, time; file = open({lock!r}, 'w'); fcntl.lockf(file, fcntl.LOCK_EX); time.sleep(600)"
    with subprocess.Popen([pair.folder / "ssh", "four", f'exec python3 -c "{hold}"']) as holder:
        time.sleep(1)
        done = pair.play("patch_kernels", kernel_patching_apt_seconds=2)
        holder.kill()
    told = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "lock" in told.lower(), told
    assert "— mend that, then run this again" in told, done.stdout + done.stderr
    assert drains(pair) == []


@on_demand
def test_a_swarm_without_a_leader_is_left_alone(pair: Machines) -> None:
    pair.set(pair.state | {"no_leader": True})
    done = pair.play("patch_kernels")
    told = " ".join(done.stdout.split())
    assert done.returncode != 0
    assert "The swarm does not have a leader. — mend that, then run this again" in told
    assert drains(pair) == []


@on_demand
def test_a_kernel_that_is_patched_live_is_told_and_left_alone_if_wanted(pair: Machines) -> None:
    live = "mkdir -p /sys/kernel/livepatch/fix && echo 1 > /sys/kernel/livepatch/fix/enabled"
    pair.run("four", f"{live}; cp /bin/true /usr/bin/canonical-livepatch")
    left = pair.play("patch_kernels", "--limit", "four", kernel_patching_live="leave")
    assert left.returncode == 0, left.stdout
    told = f"four (worker) runs {OLD}-amd64 6.1.124-1, patched live by canonical-livepatch: "
    assert f"{told}left as it is until it is booted for another reason" in left.stdout
    assert kernels(pair)["four"] == f"{OLD}-amd64"
