"""``up`` is killed at random moments, and run again: what is declared is there in the end, and nothing else."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.e2e.conftest import LABEL, ROOT, STACK, Platform, dynoform, eventually

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(3000)]
KILLS = 10
LONGEST_SECONDS = 25


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


def names(platform: Platform) -> set[str]:
    """The platform's own services, dynos left out."""
    found = platform.engine.services.list(filters=LABEL)
    return {one.name for one in found if "dynoform.dyno" not in one.attrs["Spec"].get("Labels", {})}


def test_up_that_was_killed_ten_times_converges() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    moments = random.Random(seed)  # noqa: S311 moments, not secrets
    cleaned = dynoform("down", "--stack", STACK, "--yes", "--purge")
    assert cleaned.code == 0, cleaned.err
    kills = [up_and_kill(moments.uniform(0.5, LONGEST_SECONDS), moments.random() < 0.5) for _ in range(KILLS)]
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
        "log-agent",
        "logplex",
        "postgres",
        "reconcile",
        "registry",
        "router",
        "router-agent",
        "run-agent",
    ]
    assert names(platform) == {f"{STACK}_{noun}" for noun in nouns}
    gone = dynoform("down", "--stack", STACK, "--yes", "--purge")
    assert gone.code == 0, f"seed {seed}\n{gone.err}"
    assert platform.engine.services.list(filters=LABEL) == platform.engine.secrets.list(filters=LABEL) == []
    assert platform.engine.volumes.list(filters=LABEL) == []
    platform.close()
