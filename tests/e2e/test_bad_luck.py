"""Bad luck on one host: our processes, the engine, the store and apps fail, and what is declared runs in the end.

All the while another app is asked, and has to answer.
"""

import os
import re
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dynoform.cli.bench.load import load
from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_platform import build, is_engine, start_engine

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(900)]
RATE = 20
"""Requests per second to the app that nothing happens to."""
AWAY_SECONDS = 60
AN_HOUR_AHEAD = """
UPDATE dynos SET state_changed_at = state_changed_at + interval '1 hour', created_at = created_at + interval '1 hour';
UPDATE leases SET expires_at = expires_at + interval '1 hour'
"""
BAD = {
    "web": "sleep 1000",
    "crashing": "exit 3",
    "stubborn": "trap '' TERM; while :; do sleep 1; done",
}


@contextmanager
def another_serves(within: float = 0) -> Iterator[None]:
    """The app ``node`` answers all the time, but for ``within`` seconds."""
    with load("node.localhost", 18080, RATE) as found:
        yield
    assert found.failed <= within * RATE, f"{found.failed} of {found.sent} requests failed"


def container(platform: Platform, noun: str) -> Any:
    """The running container of a platform service; None while there is none."""
    filters = {"label": f"com.docker.swarm.service.name={STACK}_{noun}", "status": "running"}
    return next(iter(platform.engine.containers.list(filters=filters, ignore_removed=True)), None)


def log(platform: Platform, app: str) -> str:
    """The app's log."""
    session = platform.api.post(f"/apps/{app}/log-sessions", json={"lines": 1500, "tail": False}).raise_for_status()
    return platform.api.get(session.json()["logplex_url"]).text


def says(platform: Platform, app: str, *lines: str, within: float) -> None:
    """Waits until the app's log has these lines, in this order; shows how it ends if it never has."""
    pattern, found = re.compile(".*".join(map(re.escape, lines)), re.DOTALL), ""

    def are_there() -> bool:
        nonlocal found
        found = log(platform, app)
        return bool(pattern.search(found))

    try:
        eventually(are_there, within, f"{app}'s log says {lines}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it ends:\n{found[-3000:]}") from None


def releases(platform: Platform) -> None:
    """A config var reaches the dyno of ``python``."""
    greeting = f"Hello {uuid.uuid4().hex}"
    eventually(lambda: set_greeting(platform, greeting), 60, "the API takes a config var")
    eventually(lambda: greeting in platform.app("python").text, 60, "the new greeting")


def set_greeting(platform: Platform, greeting: str) -> bool:
    return platform.api.patch("/apps/python/config-vars", json={"GREETING": greeting}).is_success


def logs(platform: Platform) -> None:
    """A request to ``python`` is in its log."""
    marker = uuid.uuid4().hex
    eventually(
        lambda: platform.app("python", f"/?{marker}").is_success and marker in log(platform, "python"), 60, marker
    )


def runs(platform: Platform) -> None:
    """A one-off dyno of ``python`` says what it is to say."""
    marker = uuid.uuid4().hex
    asked = {"command": f"echo {marker[:16]}$((1)){marker[16:]}", "attach": False}
    platform.api.post("/apps/python/dynos", json=asked).raise_for_status()
    says(platform, "python", f"{marker[:16]}1{marker[16:]}", within=60)


def builds(platform: Platform) -> None:
    """``python`` is built and released anew."""
    finished, output = build(platform, "python", Path("examples/apps/python"))
    assert finished["status"] == "succeeded", output
    releases(platform)


WORKS: dict[str, Callable[[Platform], None]] = {
    "api": releases,
    "builder": builds,
    "log-agent": logs,
    "logplex": logs,
    "postgres": releases,
    "reconcile": releases,
    "registry": builds,
    "router": releases,
    "router-agent": releases,
    "runtime-agent": runs,
}


@pytest.mark.parametrize("noun", WORKS)
def test_a_process_of_ours_that_is_killed_comes_back_and_works(platform: Platform, noun: str) -> None:
    # There is one router on this host: until it is back, nobody answers.
    with another_serves(within=10 if noun == "router" else 0):
        killed = eventually(lambda: container(platform, noun), 60, f"{noun} runs")
        killed.kill(signal="SIGKILL")
        eventually(
            lambda: (found := container(platform, noun)) is not None and found.id != killed.id, 60, f"{noun} runs again"
        )
        if noun != "router":
            WORKS[noun](platform)
    WORKS[noun](platform)


def test_postgresql_is_away_for_a_minute(platform: Platform) -> None:
    service = platform.engine.services.get(f"{STACK}_postgres")
    with another_serves():
        service.scale(0)
        eventually(lambda: container(platform, "postgres") is None, 60, "no store")
        away = time.monotonic()
        dyno_of(platform, "python").kill(signal="SIGKILL")
        eventually(lambda: platform.serves("python"), 30, "python answers again without a store")
        time.sleep(max(0.0, away + AWAY_SECONDS - time.monotonic()))
        service.reload()
        service.scale(1)
        releases(platform)
    # That it was away for a moment nobody could see: its end is told by the agent of its host.
    says(platform, "python", "heroku[web.1]: Process exited with status 137", within=30)


def dyno_of(platform: Platform, app: str) -> Any:
    """The container of the app's dyno, by the service's name: the API is not there to ask for its id."""
    filters = {"label": [f"dynoform.stack={STACK}", "dynoform.dyno=web.1"], "status": "running"}
    found = platform.engine.containers.list(filters=filters, ignore_removed=True)
    return next(one for one in found if f"_{app}_web-1_" in one.labels["com.docker.swarm.service.name"])


def test_the_clock_is_set_back_by_an_hour(platform: Platform) -> None:
    """As the store shows it: all that it has stamped is an hour ahead."""
    store = container(platform, "postgres")
    with another_serves():
        container(platform, "reconcile").kill(signal="SIGKILL")
        command = ["psql", "-U", "postgres", "-d", "dynoform", "-c", AN_HOUR_AHEAD]
        code, output = store.exec_run(command, user="postgres")
        assert code == 0, output
        began = time.monotonic()
        releases(platform)
        eventually(lambda: len(platform.containers("python")) == 1, 60, "the old dyno is gone")
        assert time.monotonic() - began < 60


def test_bad_apps_end_as_declared_with_the_reason_in_their_log(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "Procfile").write_text("".join(f"{kind}: {command}\n" for kind, command in BAD.items()))
    platform.api.post("/apps", json={"name": "unlucky"}).raise_for_status()
    with another_serves():
        finished, output = build(platform, "unlucky", tmp_path)
        assert finished["status"] == "succeeded", output
        scale(platform, crashing=1, stubborn=1)
        hangs = ("heroku[web.1]: Error R10 (Boot timeout)", "State changed from starting to crashed")
        crashes = ("heroku[crashing.1]: Process exited with status 3", "State changed from up to crashed")
        says(platform, "unlucky", *crashes[:1], *crashes[:1], within=60)
        eventually(lambda: state(platform, "crashing.1") == "crashed", 30, "the second crash has a cool-off")
        eventually(lambda: state(platform, "stubborn.1") == "up", 30, "stubborn.1 runs")
        scale(platform, stubborn=0)
        stops = ("Stopping all processes with SIGTERM", "Error R12 (Exit timeout)", "Process exited with status 137")
        says(platform, "unlucky", *stops, within=60)
        says(platform, "unlucky", *hangs, within=90)
        platform.api.patch("/apps/unlucky/config-vars", json={"A": "1"}).raise_for_status()
        says(platform, "unlucky", "Set A config vars", *crashes[:1], within=60)  # a release ends the cool-off
    platform.api.delete("/apps/unlucky").raise_for_status()


def scale(platform: Platform, **quantities: int) -> None:
    updates = [{"type": kind, "quantity": quantity} for kind, quantity in quantities.items()]
    platform.api.patch("/apps/unlucky/formation", json={"updates": updates}).raise_for_status()


def state(platform: Platform, name: str) -> str | None:
    return next((dyno["state"] for dyno in platform.dynos("unlucky") if dyno["name"] == name), None)


def test_the_engine_is_killed(platform: Platform) -> None:
    """Its containers go with it when it starts again: for that time nobody answers on a single host."""
    (pid,) = (int(entry) for entry in os.listdir("/proc") if entry.isdigit() and is_engine(int(entry)))
    with load("node.localhost", 18080, RATE) as found:
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists(), 60, "the engine is gone")
        start_engine()
        for app in ("python", "node"):
            eventually(lambda a=app: platform.serves(a), 90, f"{app} answers again")  # type: ignore[misc]
    assert found.failed < found.sent
    releases(platform)
    for noun in WORKS:
        eventually(lambda noun=noun: container(platform, noun), 90, f"{noun} runs")  # type: ignore[misc]
