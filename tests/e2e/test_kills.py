"""``up`` is killed at random moments, and run again: what is declared is there in the end, and nothing else."""

import os
import random
import signal
import subprocess
import threading
import time

import pytest

from tests.e2e.conftest import LABEL, ROOT, STACK, Platform, dynoform, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(3000)]
KILLS = 10
LONGEST_SECONDS = 25
ATTEMPTS = 40
"""An `up` that has ended before its moment came is taken down, and does not count."""
DECLARED = ROOT / f"Pulumi.{STACK}.yaml"


def up_and_kill(after: float, everything: bool) -> bool:
    """Starts ``up`` and kills it with SIGKILL, alone or with all that it started; whether it was still running."""
    command = [ROOT / "bin/dynoform", "up", "--yes", "--stack", STACK]
    with subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        time.sleep(after)
        killed = run.poll() is None
        if killed and everything:
            os.killpg(run.pid, signal.SIGKILL)
        elif killed:
            run.kill()
    return killed


def ten_kills(moments: random.Random) -> list[float]:
    """Kills ``up`` until ten kills have hit a run; the moments, in seconds after the start."""
    hit: list[float] = []
    for _ in range(ATTEMPTS):
        after = moments.uniform(0.5, LONGEST_SECONDS)
        if up_and_kill(after, moments.random() < 0.5):
            hit.append(round(after, 2))
        else:
            assert dynoform("down", "--stack", STACK, "--yes").code == 0
        if len(hit) == KILLS:
            return hit
    raise AssertionError(f"only {len(hit)} of {ATTEMPTS} kills came before the end of a run")


def names(platform: Platform) -> set[str]:
    """The platform's own services, dynos left out."""
    found = platform.engine.services.list(filters=LABEL)
    return {one.name for one in found if "dynoform.dyno" not in one.attrs["Spec"].get("Labels", {})}


def test_up_that_was_killed_ten_times_converges() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)  # noqa: S311 moments, not secrets
    cleaned = dynoform("down", "--stack", STACK, "--yes", "--purge")
    assert cleaned.code == 0, cleaned.err
    kills = ten_kills(moments)
    last = dynoform("up", "--stack", STACK, "--yes")
    assert last.code == 0, f"seed {seed}, kills {kills}\n{last.out}\n{last.err}"
    again = dynoform("up", "--stack", STACK, "--yes", "--refresh")
    assert "no changes" in again.err, f"seed {seed}\n{again.err}"
    platform = Platform()
    for app in ("python", "node"):
        eventually(lambda a=app: platform.serves(a), 60, f"{app} answers")  # type: ignore[misc]
    nouns = [
        "api",
        "builder",
        "databases",
        "log-agent",
        "logplex",
        "postgres",
        "reconcile",
        "registry",
        "router",
        "router-agent",
        "runtime-agent",
    ]
    assert names(platform) == {f"{STACK}_{noun}" for noun in nouns}
    updates_that_are_killed_fail_no_request(platform, moments)
    gone = dynoform("down", "--stack", STACK, "--yes", "--purge")
    assert gone.code == 0, f"seed {seed}\n{gone.err}"
    assert platform.engine.services.list(filters=LABEL) == platform.engine.secrets.list(filters=LABEL) == []
    assert platform.engine.volumes.list(filters=LABEL) == []
    platform.close()


def updates_that_are_killed_fail_no_request(platform: Platform, moments: random.Random) -> None:
    """A changed app of the running platform is deployed by an ``up`` that is killed, and again, while it serves."""
    before = DECLARED.read_text()
    statuses: list[int] = []
    done = threading.Event()

    def ask() -> None:
        while not done.wait(0.1):
            statuses.append(platform.app("python").status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in range(3):
            DECLARED.write_text(before.replace("Hello from the tests", f"Hello number {number}"))
            up_and_kill(moments.uniform(2, 8), everything=True)
            assert dynoform("up", "--stack", STACK, "--yes").code == 0
            eventually(lambda n=number: f"Hello number {n}" in platform.app("python").text, 60, "the new greeting")  # type: ignore[misc]
    finally:
        DECLARED.write_text(before)
        done.set()
        asking.join(20)
    assert set(statuses) == {200}
