"""Ends of dynos are told once each, whatever happens to the engine, the agent and the store."""

import asyncio
import io
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dynoform.agent.cgroups import Cgroups
from dynoform.agent.health import Health
from dynoform.agent.ledger import Ledger
from dynoform.agent.left_volumes import LeftVolumes
from dynoform.agent.process import ready
from dynoform.agent.sampler import FEATURE, Sampler
from dynoform.agent.watcher import Watcher
from dynoform.configuration import Configuration
from dynoform.domain.dyno_ends import resident
from dynoform.errors import ConflictError
from dynoform.journal import Journal
from dynoform.run.connection import Connection
from dynoform.run.engine import Engine
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, AppFeature, DynoEnd, HostReport, LeftVolume
from tests.unit.agent.conftest import ScriptedEngine

DYNO = uuid.UUID(int=2)
HOST = "host-1"
MIB = 1024 * 1024


@dataclass
class Recorder:
    """Keeps the lines of the apps' logs."""

    lines: list[str] = field(default_factory=list)

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        self.lines.append(f"{source}[{process}]: {message}")


@dataclass
class Host:
    """An agent's parts, and what they meet."""

    store: Store
    configuration: Configuration
    folder: Path
    app_id: uuid.UUID
    engine: ScriptedEngine = field(default_factory=ScriptedEngine)
    logs: Recorder = field(default_factory=Recorder)

    @property
    def labels(self) -> dict[str, str]:
        return {
            "dynoform.stack": "local",
            "dynoform.app": str(self.app_id),
            "dynoform.dyno": "web.1",
            "dynoform.dyno-id": str(DYNO),
            "dynoform.size": "Standard-1X",
        }

    def has(self, container: str, state: str, **described: Any) -> None:
        """The engine has a container of the dyno."""
        self.engine.containers[container] = {"Labels": self.labels, "State": state, "described": {"State": described}}

    def event(self, action: str, container: str, ago: float, **attributes: str) -> dict[str, Any]:
        return {
            "Type": "container",
            "Action": action,
            "Actor": {"ID": container, "Attributes": self.labels | attributes},
            "timeNano": int((time.time() - ago) * 1e9),
        }

    def agent(self, work: Callable[[Watcher, Ledger, Engine], Coroutine[Any, Any, None]]) -> None:
        """A new agent does this, and dies."""

        async def live() -> None:
            path = self.folder / f"{uuid.uuid4().hex[:8]}.sock"
            connection = Connection(self.configuration, HOST, asyncio.Event())
            engine, ledger = Engine(str(path)), Ledger(connection)
            watcher = Watcher("local", engine, ledger, self.logs, Journal("test"), datetime.now(UTC))
            async with self.engine.serving(path):
                await ready(ledger, Journal("test"))
                await work(watcher, ledger, engine)
            await connection.close()

        asyncio.run(live())

    def follow(self) -> None:
        """A new agent follows events until their stream ends."""
        self.agent(lambda watcher, ledger, engine: watcher.follow())

    def follow_and_report(self) -> None:
        async def work(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
            await watcher.follow()
            await Health(engine, ledger, watcher).report()

        self.agent(work)

    def remove_volumes(self) -> list[str]:
        """A new agent looks for what is left of destroyed databases; what it has removed."""
        removed: list[str] = []

        async def look() -> None:
            path = self.folder / f"{uuid.uuid4().hex[:8]}.sock"
            connection = Connection(self.configuration, HOST, asyncio.Event())
            async with self.engine.serving(path):
                await ready(Ledger(connection), Journal("test"))  # the lock of the one before goes with its connection
                await LeftVolumes(connection, Engine(str(path)), removed.append).look()
            await connection.close()

        asyncio.run(look())
        return removed

    def ends(self) -> list[tuple[Any, ...]]:
        with self.store.transaction() as session:
            query = select(DynoEnd.container_id, DynoEnd.exit_code, DynoEnd.error).order_by(DynoEnd.container_id)
            return [tuple(row) for row in session.execute(query)]


@pytest.fixture
def host(store: Store, configuration: Configuration, tmp_path: Path) -> Iterator[Host]:
    with store.transaction() as session:
        account = Account(email="ann@example.com")
        session.add(account)
        session.flush()
        app = App(name="shop", owner_id=account.id, stack="dynoform-13")
        session.add(app)
        session.flush()
        yield_id = app.id
    yield Host(store, configuration, tmp_path, yield_id)


def test_an_end_is_written_down_and_told_once(host: Host) -> None:
    host.has("c1", "exited", Running=False, ExitCode=3, OOMKilled=False, FinishedAt=stamp(0.5))
    host.engine.coming = [host.event("start", "c1", 2), host.event("die", "c1", 0.5, exitCode="3")]
    host.follow()
    host.follow_and_report()
    host.engine.past = host.engine.coming
    host.follow()
    assert host.logs.lines == ["heroku[web.1]: Process exited with status 3"]
    assert host.ends() == [("c1", 3, "")]


def stamp(ago: float) -> str:
    """A moment as the engine writes it."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def test_what_ended_while_the_engine_was_away_is_read_from_its_containers(host: Host) -> None:
    host.follow_and_report()
    host.has("c1", "exited", Running=False, ExitCode=137, OOMKilled=True, FinishedAt=stamp(0.1))
    host.has("c2", "exited", Running=False, ExitCode=0, OOMKilled=False, FinishedAt=stamp(0.1))
    host.follow()
    assert host.ends() == [("c1", 137, "R15"), ("c2", 0, "")]
    assert "heroku[web.1]: Error R15 (Memory quota vastly exceeded)" in host.logs.lines
    assert host.logs.lines[-1] == "heroku[web.1]: Process exited with status 0"


def test_a_report_before_the_first_look_forgets_nothing(host: Host) -> None:
    host.follow_and_report()
    host.has("c1", "exited", Running=False, ExitCode=1, OOMKilled=False, FinishedAt=stamp(0.1))

    async def work(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
        before = await ledger.events_until()
        await Health(engine, ledger, watcher).report()
        assert before is not None
        assert await ledger.events_until() == before
        await watcher.follow()

    host.agent(work)
    assert host.ends() == [("c1", 1, "")]


def test_a_first_agent_tells_nothing_of_long_ago(host: Host) -> None:
    host.has("c1", "exited", Running=False, ExitCode=1, OOMKilled=False, FinishedAt=stamp(3600))
    host.follow()
    assert (host.ends(), host.logs.lines) == ([], [])


def test_a_dyno_that_did_not_exit_in_time_is_told_by_who_comes_later(host: Host) -> None:
    host.follow_and_report()
    host.engine.past = [
        host.event("kill", "c1", -0.1, signal="15"),
        host.event("kill", "c1", -30.2, signal="9"),
        host.event("die", "c1", -30.3, exitCode="137"),
    ]
    host.follow()
    assert host.ends() == [("c1", 137, "R12")]
    assert host.logs.lines == [
        "heroku[web.1]: Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
        "heroku[web.1]: Stopping process with SIGKILL",
        "heroku[web.1]: Process exited with status 137",
    ]


def test_a_dyno_whose_process_was_ended_for_its_memory_is_stopped_as_a_whole(host: Host) -> None:
    host.has("c1", "running", Running=True)
    # Whatever was before the agent is only made up for.
    host.engine.coming = [host.event("oom", "c1", -300), host.event("die", "c1", -300.1, exitCode="137")]
    host.follow()
    assert "kill c1" in host.engine.done
    assert host.ends() == [("c1", 137, "R15")]


def test_the_kernel_s_word_may_come_after_the_process_s(host: Host) -> None:
    host.has("c1", "exited", Running=False, ExitCode=137, OOMKilled=True, FinishedAt=stamp(-0.1))
    host.engine.coming = [host.event("die", "c1", -0.1, exitCode="137")]
    host.follow()
    assert host.ends() == [("c1", 137, "R15")]


def test_an_app_that_is_gone_is_told_nothing(host: Host) -> None:
    with host.store.transaction() as session:
        session.delete(session.get_one(App, host.app_id))
    host.engine.coming = [host.event("die", "c1", -0.1, exitCode="1")]
    host.follow()
    assert (host.ends(), host.logs.lines) == ([], [])


def test_dynos_that_swarm_made_get_the_limits_it_has_no_words_for_once(host: Host) -> None:
    host.has("c1", "running", Running=True)
    host.engine.coming = [host.event("start", "c1", -0.1), host.event("start", "gone", -0.1)]
    host.follow()
    assert host.engine.done == ["update c1"]
    assert host.engine.bodies == [
        {
            "CpuPeriod": 100_000,
            "CpuQuota": 100_000,
            "CpuShares": 256,
            "Memory": 1024 * MIB,
            "MemoryReservation": 512 * MIB,
            "MemorySwap": 1024 * MIB,
        }
    ]


def sample(host: Host, times: int = 1) -> None:
    async def work(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
        sampler = Sampler(watcher, Cgroups(host.folder, engine), ledger, Journal("test"))
        for _ in range(times):
            await sampler.sample()

    host.agent(work)


def split_groups(host: Host, rss: int) -> None:
    """The control groups of a container, version 1."""
    for name, file, text in (("memory", "memory.stat", f"rss {rss}\n"), ("cpuacct", "cpuacct.usage", "2000000000\n")):
        folder = host.folder / name / "docker/c1"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)


def test_a_dyno_over_its_quota_is_told_so_at_every_sample(host: Host) -> None:
    host.has("c1", "running", Running=True)
    split_groups(host, 600 * MIB)
    sample(host, times=2)
    assert host.logs.lines == 2 * [
        "heroku[web.1]: Process running mem=600M(117.2%)",
        "heroku[web.1]: Error R14 (Memory quota exceeded)",
    ]
    assert not any(done.startswith("kill") for done in host.engine.done)


def test_a_dyno_far_over_its_quota_is_stopped(host: Host) -> None:
    host.has("c1", "running", Running=True)
    split_groups(host, 1024 * MIB)
    sample(host, times=2)
    assert host.engine.done.count("kill c1") == 1


def test_samples_are_for_apps_that_asked_for_them(host: Host) -> None:
    host.has("c1", "running", Running=True)
    (host.folder / "cgroup.controllers").touch()
    folder = host.folder / "system.slice/docker-c1.scope"
    folder.mkdir(parents=True)
    (folder / "memory.stat").write_text(f"anon {50 * MIB}\nfile {10 * MIB}\nshmem 0\n")
    (folder / "memory.swap.current").write_text("0\n")
    (folder / "cpu.stat").write_text("usage_usec 2000000\n")
    sample(host)
    assert host.logs.lines == []
    with host.store.transaction() as session:
        session.add(AppFeature(app_id=host.app_id, name=FEATURE, enabled=True))
    sample(host, times=2)
    first, load, second = host.logs.lines
    number = host.app_id.int >> 96
    assert first.startswith(
        f"heroku[web.1]: source=web.1 dyno=heroku.{number}.{DYNO} sample#memory_total=60.00MB "
        "sample#memory_rss=50.00MB sample#memory_cache=10.00MB"
    )
    assert "sample#load_avg_1m=0.00" in load
    assert second == first


def test_an_engine_with_its_groups_elsewhere_is_asked_itself(host: Host) -> None:
    host.has("c1", "running", Running=True)
    host.engine.stats = {
        "memory_stats": {"stats": {"anon": 700 * MIB}},
        "cpu_stats": {"cpu_usage": {"total_usage": 1}},
    }
    sample(host)
    assert "heroku[web.1]: Error R14 (Memory quota exceeded)" in host.logs.lines


def test_a_host_tells_how_it_is(host: Host) -> None:
    host.has("c1", "running", Running=True)
    host.follow_and_report()
    with host.store.transaction() as session:
        report = session.scalars(select(HostReport)).one()
    assert (report.name, report.node_id, report.engine, report.dynos) == (HOST, "n0", "20.10.24", 1)
    assert 0 < report.free_memory_bytes <= report.memory_bytes
    assert 0 < report.free_disk_bytes <= report.disk_bytes

    async def without_engine(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
        await Health(Engine(str(host.folder / "nowhere")), ledger, watcher).report()

    host.agent(without_engine)
    with host.store.transaction() as session:
        assert session.scalars(select(HostReport.engine)).one() == ""


def test_when_the_disk_is_nearly_full_the_dyno_that_wrote_most_goes(host: Host) -> None:
    for container, written in (("c1", 3_000_000_000), ("c2", 4_000_000_000), ("c3", 1000)):
        host.has(container, "running", Running=True)
        host.engine.containers[container]["SizeRw"] = written
    host.agent(lambda watcher, ledger, engine: watcher.stop_largest())
    assert host.engine.done == ["kill c2"]
    reason = "The disk of its host is full, and the dyno has written 4000 MB"
    assert host.logs.lines == [
        f"heroku[web.1]: Error R99 (Platform error) -> {reason}",
        "heroku[web.1]: Stopping process with SIGKILL",
    ]
    for container in ("c1", "c2"):
        del host.engine.containers[container]
    host.agent(lambda watcher, ledger, engine: watcher.stop_largest())
    assert host.engine.done == ["kill c2"], "who wrote little is not to blame"


def test_a_host_has_one_agent(host: Host) -> None:
    async def second(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
        with pytest.raises(ConflictError, match="runtime agent host-1: another one is alive"):
            await Ledger(Connection(host.configuration, HOST, asyncio.Event())).events_until()

    host.agent(second)


def test_an_agent_waits_for_its_predecessor_and_says_so_once(host: Host) -> None:
    said = io.StringIO()

    async def predecessor(watcher: Watcher, ledger: Ledger, engine: Engine) -> None:
        connection = Connection(host.configuration, HOST, asyncio.Event())
        waiting = asyncio.ensure_future(ready(Ledger(connection), Journal("test", said)))
        while not said.getvalue():  # noqa: ASYNC110 - what is said has no event
            await asyncio.sleep(0.01)
        await asyncio.sleep(1)
        assert not waiting.done()
        await ledger._connection.close()
        await asyncio.wait_for(waiting, 60)
        await connection.close()

    host.agent(predecessor)
    assert said.getvalue().count("waiting") == 1


def test_one_off_dynos_are_told_of_their_memory_when_it_happens(host: Host) -> None:
    labels = host.labels | {"dynoform.run-id": str(DYNO), "dynoform.dyno": "run.1"}
    del labels["dynoform.dyno-id"]
    host.engine.containers["c1"] = {"Labels": labels, "State": "running", "described": {}}
    assert resident("c1", labels) is not None
    event = host.event("oom", "c1", -300)
    event["Actor"]["Attributes"] = labels
    host.engine.coming = [event, event]
    host.follow()
    assert host.engine.done == ["kill c1"]
    assert host.logs.lines == [
        "heroku[run.1]: Process running mem=1024M(200.0%)",
        "heroku[run.1]: Error R15 (Memory quota vastly exceeded)",
        "heroku[run.1]: Stopping process with SIGKILL",
    ]


def test_volumes_that_are_left_on_this_host_are_removed_and_none_besides(host: Host) -> None:
    host.engine.volumes = {"in-use": 409, "left": 204, "kept": 204}
    with host.store.transaction() as session:
        names = [(HOST, "left"), (HOST, "in-use"), (HOST, "gone"), ("another", "kept")]
        session.add_all(LeftVolume(host=where, name=name) for where, name in names)
    assert host.remove_volumes() == ["left"]
    assert host.remove_volumes() == ["in-use"]
    assert host.engine.volumes == {"kept": 204}
    with host.store.transaction() as session:
        assert [each.name for each in session.scalars(select(LeftVolume))] == ["kept"]
