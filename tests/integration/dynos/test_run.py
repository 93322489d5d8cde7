"""One-off dynos on a real engine, through the real relay: what `heroku run` does, and what is left when things die."""

import hashlib
import re
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from dynoform.addons.queue import Surroundings
from dynoform.addons.scheduler import SchedulerProvider
from dynoform.addons.worker import Worker
from dynoform.configuration import Configuration
from dynoform.domain import own_services
from dynoform.domain.dyno_container import DYNO_ID_LABEL, SERVICE_LABEL
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.reconcile.scheduler import Scheduler
from dynoform.store import addon_services
from dynoform.store.session import Store
from dynoform.store.tables import App
from tests.contract.addon_fixtures import at_work
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.run_platform import RunPlatform, Terminal, running
from tests.store_fixtures import configuration, migrated

__all__ = ["configuration", "migrated", "parts"]

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def dynos(
    parts: EngineParts, migrated: Store, configuration: Configuration, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunPlatform]:
    with running(parts, migrated, configuration, tmp_path_factory.mktemp("run")) as made:
        yield made


@pytest.fixture
def app(dynos: RunPlatform) -> Iterator[str]:
    name = dynos.app(GREETING="it's $me", SECRET="not-to-be-seen")
    yield name
    with dynos.platform.store.transaction() as session:
        session.execute(text("DELETE FROM apps WHERE name = :name"), {"name": name})


def test_an_attached_dyno_has_a_terminal_of_the_clients_size_and_the_apps_config(dynos: RunPlatform, app: str) -> None:
    command = 'tty; stty size; echo "$TERM|$GREETING|$DYNO|$EXTRA|$(id -u)"; grep Cap /proc/self/status'
    env = {"TERM": "xterm-256color", "COLUMNS": 123, "LINES": 45, "EXTRA": "more"}
    made = dynos.run(app, command, env=env)
    assert re.fullmatch(r"run\.\d{4}", made["name"])
    output = Terminal(made["attach_url"], dynos.authority).greeted().read().decode()
    lines = output.splitlines()
    assert lines[:3] == ["/dev/pts/0", "45 123", f"xterm-256color|it's $me|{made['name']}|more|1000"]
    assert "CapEff:\t0000000000000000" in lines
    assert "CapBnd:\t0000000000000000" in lines
    dynos.wait(lambda: dynos.dynos(app) == [] and dynos.containers(made) == [])
    dynos.wait(
        lambda: dynos.said(
            app,
            f"app[api]: Starting process with command `{command}` by user ann@example.com",
            f"heroku[{made['name']}]: Awaiting client",
            f"heroku[{made['name']}]: Starting process with command `{command}`",
            f"heroku[{made['name']}]: State changed from starting to up",
            f"heroku[{made['name']}]: Process exited with status 0",
            f"heroku[{made['name']}]: State changed from up to complete",
        )
    )
    # What an attached dyno says is for who attached, not for the log.
    assert "xterm-256color|" not in str(dynos.log(app))


def test_the_exit_status_comes_in_one_piece(dynos: RunPlatform, app: str) -> None:
    marker = "\uffff heroku-command-exit-status: "
    command = f'head -c 100000 /dev/zero | tr "\\0" x; echo; bash -c "exit 3" ; echo "{marker}$?"'
    terminal = dynos.attach(app, command)
    output = terminal.read()
    assert len(output) > 100_000
    # A chunk of its own, unless the relay stood still just then; what the CLI needs is that no chunk has a part of it.
    assert sum(f"{marker}3\r\n".encode() in chunk for chunk in terminal.chunks) == 1


def test_a_scheduled_job_runs_in_a_dyno_of_its_own(dynos: RunPlatform, app: str) -> None:
    platform, services = dynos.platform, {own_services.SCHEDULER: SchedulerProvider()}
    logs, journal = LogplexClient(dynos.configuration), Journal("test")
    with platform.store.transaction() as session:
        addon_services.register_own(session, platform.vault)
    with at_work(Worker(platform.store, platform.vault, services, Surroundings("", "local"), logs, journal)):
        dynos.client.post(f"/apps/{app}/addons", json={"plan": "scheduler"}).raise_for_status()
    command = 'echo "$DYNO|$GREETING"; exit 7'
    job = {"command": command, "frequency": "every_ten_minutes", "dyno_size": "Eco"}
    dynos.client.post(f"/apps/{app}/scheduler-jobs", json=job).raise_for_status()
    with platform.store.transaction() as session:
        session.execute(text("UPDATE scheduler_jobs SET next_due_at = next_due_at - interval '10 minutes'"))
    dynos.stop_agent()  # it would begin, and might end, what is looked at
    for _ in range(2):
        Scheduler(platform.store, platform.vault, logs, journal).step()
    (made,) = dynos.dynos(app)
    dynos.start_agent()
    assert re.fullmatch(r"scheduler\.\d{4}", made["name"])
    dynos.wait(
        lambda: dynos.said(
            app,
            f"app[api]: Starting process with command `{command}` by user scheduler@addons.heroku.com",
            f"heroku[{made['name']}]: State changed from starting to up",
            f"heroku[{made['name']}]: Process exited with status 7",
            f"heroku[{made['name']}]: State changed from up to complete",
        )
    )
    (container,) = dynos.containers(made)
    assert container.logs().decode() == f"{made['name']}|it's $me\n"


def test_ctrl_c_interrupts_and_the_end_of_input_ends(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.1; done")
    terminal.read_until(b"ready")
    assert [dyno["state"] for dyno in dynos.dynos(app)] == ["up"]
    terminal.send(b"\x03")
    assert b"caught" in terminal.read()
    dynos.wait(lambda: dynos.said(app, "Process exited with status 7"))
    terminal = dynos.attach(app, "cat")
    terminal.send(b"hello\n\x04")
    assert terminal.read() == b"hello\r\nhello\r\n"


def test_a_shell_can_be_used(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "bash")
    terminal.send(b"echo $((6*7)); exit\n")
    assert b"\r\n42\r\n" in terminal.read()


def test_without_a_terminal_bytes_pass_unchanged_both_ways(dynos: RunPlatform, app: str) -> None:
    data = bytes(range(256)) * 4096
    terminal = dynos.attach(app, "tty >&2; cat", force_no_tty=True)
    terminal.read_until(b"not a tty\n")
    for start in range(0, len(data), 50_000):
        terminal.send(data[start : start + 50_000])
    terminal.send(b"\x04")
    output = terminal.read().removeprefix(b"not a tty\n")
    assert hashlib.sha256(output).digest() == hashlib.sha256(data).digest()


def test_nothing_of_the_config_is_in_the_containers_description(dynos: RunPlatform, app: str) -> None:
    made = dynos.run(app, "echo ready; cat", env={"TERM": "dumb", "OWN": "mine-alone"}, size="standard-2x")
    terminal = Terminal(made["attach_url"], dynos.authority).greeted()
    terminal.read_until(b"ready")
    (container,) = dynos.containers(made)
    shown = str(container.attrs)
    assert "not-to-be-seen" not in shown
    assert "mine-alone" not in shown
    host = container.attrs["HostConfig"]
    assert (host["Memory"], host["PidsLimit"], host["CapDrop"]) == (2048 * 1024 * 1024, 512, ["ALL"])
    assert host["LogConfig"]["Type"] == "none"
    assert list(container.attrs["NetworkSettings"]["Networks"]) == ["itrdynos_dynos"]
    terminal.send(b"\x04")
    terminal.read()


def test_a_detached_dyno_writes_to_the_log_and_goes(dynos: RunPlatform, app: str) -> None:
    made = dynos.run(app, 'echo "hello $GREETING"; sleep 0.5; exit 4', attach=False, type="work")
    assert made["attach_url"] is None
    assert re.fullmatch(r"work\.\d{4}", made["name"])
    dynos.wait(lambda: dynos.dynos(app) == [])
    dynos.wait(lambda: dynos.said(app, "State changed from starting to up", "Process exited with status 4", "complete"))
    # The log agent files what is in the container's log by these labels, and has a minute to read it.
    (container,) = dynos.containers(made)
    assert container.logs() == b"hello it's $me\n"
    assert container.labels["dynoform.dyno"] == made["name"]
    assert container.labels["dynoform.app"] == str(dynos.app_id(app))
    assert "dynoform.app,dynoform.dyno" in container.attrs["HostConfig"]["LogConfig"]["Config"]["labels"]


def test_a_client_that_goes_hangs_up_on_all_processes(dynos: RunPlatform, app: str) -> None:
    made = dynos.run(app, "(trap 'exit 1' HUP; while :; do sleep 0.1; done) & echo ready; cat; wait")
    terminal = Terminal(made["attach_url"], dynos.authority).greeted()
    terminal.read_until(b"ready")
    started = time.monotonic()
    terminal.close()
    dynos.wait(lambda: dynos.dynos(app) == [] and dynos.containers(made) == [])
    assert time.monotonic() - started < 25
    closed = "Client connection closed. Sending SIGHUP to all processes"
    dynos.wait(lambda: dynos.said(app, closed, "Process exited with status 129", "State changed from up to complete"))


def test_a_dyno_that_is_stopped_gets_sigterm(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done")
    terminal.read_until(b"ready")
    (dyno,) = dynos.dynos(app)
    assert dynos.client.post(f"/apps/{app}/dynos/{dyno['name']}/actions/stop").status_code == 202
    assert b"bye" in terminal.read()
    dynos.wait(lambda: dynos.said(app, "Stopping all processes with SIGTERM", "Process exited with status 0"))
    detached = dynos.run(app, "sleep 1000", attach=False)
    dynos.wait(lambda: [row["state"] for row in dynos.dynos(app)] == ["up"])
    dynos.client.post(f"/apps/{app}/formations/run/actions/stop").raise_for_status()
    dynos.wait(lambda: [one.status for one in dynos.containers(detached)] == ["exited"])


def test_a_dyno_ends_when_its_time_is_over(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "echo ready; sleep 1000", time_to_live=15)
    terminal.read()
    dynos.wait(lambda: dynos.said(app, "Stopping all processes with SIGTERM", "Process exited with status 143"))


def test_a_secret_works_once_and_no_other_does(dynos: RunPlatform, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = dynos.run(app, "echo ready; cat")
    first = Terminal(made["attach_url"], dynos.authority).greeted()
    first.read_until(b"ready")
    assert Terminal(made["attach_url"], dynos.authority).read() == b""
    monkeypatch.setattr(dynos.relay, "meeting_seconds", 4)
    base, _, secret = made["attach_url"].rpartition("/")
    other = Terminal(f"{base}/{secret[::-1]}", dynos.authority)
    first.send(b"still mine\n\x04")
    assert b"still mine" in first.read()
    assert other.read() == b""
    assert Terminal(made["attach_url"], dynos.authority).read() == b""


def test_two_at_once_do_not_mix(dynos: RunPlatform, app: str) -> None:
    one, two = dynos.attach(app, "cat"), dynos.attach(app, "cat")
    assert len({row["name"] for row in dynos.dynos(app)}) == 2
    one.send(b"one\n\x04")
    two.send(b"two\n\x04")
    assert (one.read(), two.read()) == (b"one\r\none\r\n", b"two\r\ntwo\r\n")


def test_a_word_of_the_procfile_stands_for_its_command(dynos: RunPlatform) -> None:
    app = dynos.app({"greet": "echo hello"})
    assert dynos.attach(app, "greet world").read() == b"hello world\r\n"


def test_a_killed_agent_leaves_no_attached_dyno_and_no_detached_one_ends(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "echo ready; sleep 1000")
    terminal.read_until(b"ready")
    detached = dynos.run(app, "until [ -e go ]; do sleep 0.1; done; echo done", attach=False)
    dynos.wait(lambda: [row["state"] for row in dynos.dynos(app)] == ["up", "up"])
    dynos.stop_agent(signal.SIGKILL)
    assert terminal.read() == b"ready\r\n"
    dynos.start_agent()
    dynos.wait(lambda: [row["name"] for row in dynos.dynos(app)] == [detached["name"]])
    (container,) = dynos.containers(detached)
    container.exec_run(["touch", "/app/go"])
    dynos.wait(lambda: dynos.dynos(app) == [])
    assert container.logs() == b"done\n"
    dynos.wait(lambda: dynos.said(app, f"heroku[{detached['name']}]: Process exited with status 0"))


@pytest.mark.parametrize("after", [0.05, 0.5])
def test_an_agent_killed_at_any_moment_leaves_nothing(dynos: RunPlatform, app: str, after: float) -> None:
    made = dynos.run(app, "echo once >> /tmp/count; cat")
    terminal = Terminal(made["attach_url"], dynos.authority)
    time.sleep(after)
    dynos.stop_agent(signal.SIGKILL)
    dynos.start_agent()
    terminal.socket.settimeout(3)
    try:
        while terminal.socket.recv(100):
            terminal.send(b"\x04")
    except OSError:
        pass
    terminal.close()
    dynos.wait(lambda: dynos.dynos(app) == [] and dynos.containers(made) == [])


def test_an_app_that_is_destroyed_takes_its_dynos_along(dynos: RunPlatform, app: str) -> None:
    made = dynos.run(app, "sleep 1000", attach=False)
    dynos.wait(lambda: [row["state"] for row in dynos.dynos(app)] == ["up"])
    dynos.client.delete(f"/apps/{app}").raise_for_status()
    dynos.wait(lambda: all(one.status == "exited" for one in dynos.containers(made)))


def test_a_store_that_goes_away_for_a_moment_ends_nothing(dynos: RunPlatform, app: str) -> None:
    terminal = dynos.attach(app, "echo ready; cat")
    terminal.read_until(b"ready")
    with dynos.platform.store.transaction() as session:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name"
        assert session.execute(text(query), {"name": "dynoform-runtime-agent"}).all()
    terminal.send(b"still here\n\x04")
    assert b"still here\r\nstill here\r\n" in terminal.read()
    dynos.wait(lambda: dynos.dynos(app) == [])
    assert dynos.attach(app, "echo again").read() == b"again\r\n"


def test_a_command_inside_a_dyno_sees_its_processes_and_config(dynos: RunPlatform) -> None:
    name = dynos.app({"work": "sleep 987"}, GREETING="hello")
    dynos.platform.start()
    try:
        dynos.client.patch(f"/apps/{name}/formation/work", json={"quantity": 1}).raise_for_status()
        dynos.wait(lambda: [row["state"] for row in dynos.dynos(name)] == ["up"], 60)
        inside(dynos, name)
        app_id = dynos.app_id(name)
        with posing(dynos, app_id):
            inside(dynos, name)
        dynos.client.delete(f"/apps/{name}").raise_for_status()
        dynos.wait(lambda: dynos.platform.services(app_id) == [])
    finally:
        dynos.platform.stop()


@contextmanager
def posing(dynos: RunPlatform, app_id: uuid.UUID) -> Iterator[None]:
    """A one-off dyno of another app, by whose image it is the formation dyno of this one."""
    (container,) = dynos.platform.containers(app_id)
    claimed = (DYNO_ID_LABEL, SERVICE_LABEL)
    changes = [f"LABEL {label}={container.labels[label]}" for label in claimed]
    image = container.commit("dynoform-test/posing", "latest", changes="\n".join(changes), pause=False)
    other = dynos.platform.app(f"posing-{uuid.uuid4().hex[:8]}")
    dynos.platform.release(other, {"work": "true"}, image=image.tags[0])
    with dynos.platform.store.transaction() as session:
        name = session.get_one(App, other).name
    made = dynos.run(name, "sleep 60", attach=False)
    dynos.wait(lambda: [each.status for each in dynos.containers(made)] == ["running"])
    (poser,) = dynos.containers(made)
    assert (poser.labels[DYNO_ID_LABEL], poser.labels[SERVICE_LABEL]) == (container.labels[DYNO_ID_LABEL], "")
    yield
    poser.remove(force=True)
    dynos.client.delete(f"/apps/{name}").raise_for_status()
    dynos.platform.parts.engine.images.remove(image.tags[0])


def inside(dynos: RunPlatform, name: str) -> None:
    command = 'echo "$DYNO $GREETING"; tr "\\0" " " < /proc/1/cmdline; grep -l 987 /proc/[0-9]*/cmdline | wc -l; tty'
    answer = dynos.client.post(f"/apps/{name}/dynos/work.1", json={"command": command, "env": {"TERM": "dumb"}})
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "work.1"
    output = Terminal(answer.json()["attach_url"], dynos.authority).greeted().read().decode()
    assert output.startswith("work.1 hello\r\n")
    assert "/dev/pts/" in output
    answer = dynos.client.post(f"/apps/{name}/dynos/work.1", json={"command": "echo ready; sleep 654"})
    terminal = Terminal(answer.json()["attach_url"], dynos.authority).greeted()
    terminal.read_until(b"ready")
    terminal.close()
    app_id = dynos.app_id(name)
    (container,) = dynos.platform.containers(app_id)
    dynos.wait(lambda: "sleep 654" not in str(container.top()["Processes"]))
    assert "sleep 987" in str(container.top()["Processes"])
    assert [row["name"] for row in dynos.dynos(name)] == ["work.1"]


def test_the_agent_at_rest_is_small(dynos: RunPlatform) -> None:
    dynos.stop_agent()
    pid = dynos.start_agent()
    time.sleep(3)
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    anonymous = int(re.search(r"^Anonymous:\s+(\d+) kB", rollup, re.MULTILINE)[1])  # type: ignore[index]
    assert anonymous < 26 * 1024
