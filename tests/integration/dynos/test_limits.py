"""A hostile app against each limit of its dyno: it gets nowhere, is stopped for its memory, and others serve."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from dynoform.configuration import Configuration
from dynoform.domain import dyno_sizes
from dynoform.store.session import Store
from tests.integration.dyno_platform import SERVER
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.run_platform import RunPlatform, running
from tests.store_fixtures import configuration, migrated

__all__ = ["configuration", "migrated", "parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]
SIZE = dyno_sizes.find("Standard-1X")
MIB = 1024 * 1024
HOSTILE = (Path(__file__).parents[1] / "hostile.py").read_text()


@pytest.fixture(scope="module")
def dynos(
    parts: EngineParts, migrated: Store, configuration: Configuration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunPlatform]:
    with running(parts, migrated, configuration, tmp_path_factory.mktemp("limits")) as made:
        made.platform.start()
        yield made
        # The next module's reconciler has the same store.
        for app in made.client.get("/apps").raise_for_status().json():
            made.client.delete(f"/apps/{app['name']}").raise_for_status()
        made.platform.stop()


@contextmanager
def asked_all_the_time(dynos: RunPlatform, app: str) -> Iterator[list[float]]:
    """A client of the app's web dyno: the seconds that each of its answers took; an answer that fails is 99."""
    seconds: list[float] = []
    done = threading.Event()
    dyno = dynos.platform.dynos(dynos.app_id(app))[0]

    def ask() -> None:
        with httpx.Client(base_url=f"http://{dyno.address}:{dyno.port}", timeout=5, trust_env=False) as client:
            while not done.wait(0.1):
                started = time.monotonic()
                try:
                    ok = client.get("/").status_code == 200
                except httpx.HTTPError:
                    ok = False
                seconds.append(time.monotonic() - started if ok else 99)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield seconds
    finally:
        done.set()
        asking.join(10)


def up(dynos: RunPlatform, app: str, type_: str) -> None:
    dynos.client.patch(f"/apps/{app}/formation/{type_}", json={"quantity": 1}).raise_for_status()
    dynos.wait(lambda: [row["state"] for row in dynos.dynos(app)] == ["up"], 60)


def test_a_hostile_app_gets_nowhere_and_others_serve(dynos: RunPlatform) -> None:
    good = dynos.app({"web": SERVER})
    up(dynos, good, "web")
    bad = dynos.app({"work": 'exec python3 -c "$HOSTILE"'}, HOSTILE=HOSTILE)
    dynos.client.patch(f"/apps/{bad}/features/log-runtime-metrics", json={"enabled": True}).raise_for_status()
    with asked_all_the_time(dynos, good) as seconds:
        up(dynos, bad, "work")
        (container,) = dynos.platform.containers(dynos.app_id(bad))
        dynos.wait(lambda: b"}\n" in container.logs())
        report = json.loads(container.logs().splitlines()[0])
        assert SIZE.pids - 12 < report["forks"] < SIZE.pids
        assert dyno_sizes.FILES - 50 < report["open_files"] < dyno_sizes.FILES
        assert (report["written"], report["own"]) == ([], True)
        assert (report["gains"], report["setuid_program"]) == ([], "1000")
        assert (report["no_new_privileges"], report["seccomp"], report["user"]) == ("1", "2", 1000)
        assert (int(report["capabilities"], 16), report["oom_score"]) == (0, "500")
        assert len(report["processes"]) < 10, "none but its own"
        container.reload()
        host = container.attrs["HostConfig"]
        assert (host["Memory"], host["MemorySwap"]) == (SIZE.kill_mb * MIB, SIZE.kill_mb * MIB)
        assert (host["MemoryReservation"], host["CpuShares"]) == (SIZE.memory_mb * MIB, SIZE.cpu_shares)
        takes_no_more_processors_than_it_may(container)
        dynos.wait(lambda: dynos.said(bad, "Error R14 (Memory quota exceeded)"))
        dynos.wait(
            lambda: dynos.said(
                bad,
                "heroku[work.1]: Error R14 (Memory quota exceeded)",
                "heroku[work.1]: Process running mem=1024M(200.0%)",
                "heroku[work.1]: Error R15 (Memory quota vastly exceeded)",
                "heroku[work.1]: Stopping process with SIGKILL",
                "heroku[work.1]: Process exited with status 137",
            )
        )
        dynos.wait(lambda: "heroku[work.1]: State changed from crashed to starting" in dynos.platform.logs.lines)
        dynos.wait(lambda: [row["state"] for row in dynos.dynos(bad)] == ["up"])
        dynos.client.patch(f"/apps/{bad}/formation/work", json={"quantity": 0}).raise_for_status()
    assert any("sample#memory_quota=512.00MB" in line for line in dynos.log(bad))
    assert not any("sample#" in line or "R14" in line for line in dynos.log(good))
    assert len(seconds) > 100
    assert sorted(seconds)[len(seconds) * 19 // 20] < 2, sorted(seconds)[-5:]


def takes_no_more_processors_than_it_may(container: object) -> None:
    """Its two loops share what its size may use."""
    used = []
    for _ in range(2):
        stats = container.stats(stream=False)  # type: ignore[attr-defined]
        moment = datetime.fromisoformat(stats["read"]).timestamp()  # not when we come to know of it
        used.append((moment, stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9))
        time.sleep(2)
    (first, before), (second, after) = used
    assert (after - before) / (second - first) < SIZE.cpus * 1.15


def test_a_one_off_dyno_has_the_same_limits(dynos: RunPlatform) -> None:
    app = dynos.app()
    words = "grep -hE 'NoNewPrivs|Seccomp:|CapBnd' /proc/self/status; ulimit -n; cat /proc/self/oom_score_adj"
    output = dynos.attach(app, words, force_no_tty=True).read().decode().split()
    assert output == ["CapBnd:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2", str(dyno_sizes.FILES), "500"]
    dynos.attach(app, "exec python3 -c 'x = [bytearray(b\"x\" * 2**20) for _ in range(2000)]'").read()
    dynos.wait(lambda: dynos.said(app, "Error R15 (Memory quota vastly exceeded)", "Process exited with status 137"))


def test_an_image_of_the_users_own_is_confined_too(dynos: RunPlatform) -> None:
    app = dynos.app()
    app_id = dynos.app_id(app)
    dynos.platform.release(app_id, {"work": "sh -c 'grep NoNewPrivs /proc/self/status; sleep 99'"}, stack="container")
    up(dynos, app, "work")
    (container,) = dynos.platform.containers(app_id)
    dynos.wait(lambda: b"NoNewPrivs:\t1\n" in container.logs())
