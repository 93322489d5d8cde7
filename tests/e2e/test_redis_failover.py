"""A Redis with HA whose primary is killed, stopped, cut off and restarted while clients write.

Two writers append numbers to lists, each number once: one takes the server's word for it, the other waits until a
replica has it as well. What was acknowledged and is not there is counted; what is there twice or out of its order must
not be.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from dynoform.domain import data_services
from tests.e2e.conftest import STACK, Platform, eventually
from tests.redis_client import Connection, History, ask, writing
from tests.redis_group import ADMIN, Group, Member

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(900)]
APP = "redis-chaos"
BEFORE, AFTER = 3.0, 4.0
AWAY_SECONDS = 12.0
"""Longer than it takes the Sentinels to see to a primary that was deposed."""


@pytest.fixture(scope="module")
def url(platform: Platform) -> Iterator[str]:
    """The address of a premium Redis."""
    platform.api.post("/apps", json={"name": APP}).raise_for_status()
    with contextlib.suppress(Exception):  # it may take longer than a request
        platform.api.post(f"/apps/{APP}/addons", json={"plan": "heroku-redis:premium-0"})
    eventually(lambda: "REDIS_URL" in config(platform), 180, "the Redis is there")
    yield config(platform)["REDIS_URL"]
    platform.api.delete(f"/apps/{APP}").raise_for_status()


@pytest.fixture
def group(platform: Platform, url: str) -> Group:
    """Its members, all well."""
    (found,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    made = Group(platform.engine, f"{STACK}_addon-{found['id']}")
    made.wait()
    ask(url, platform.trust, "DEL", "plain", "safe", seconds=10)
    return made


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


@contextlib.contextmanager
def killed(group: Group, member: Member) -> Iterator[None]:
    member.container.kill()
    yield


def stopped(group: Group, member: Member) -> AbstractContextManager[None]:
    return group.stopped(member)


def cut_off(group: Group, member: Member) -> AbstractContextManager[None]:
    return group.cut_off(member, from_clients=True)


def cut_off_from_the_others(group: Group, member: Member) -> AbstractContextManager[None]:
    return group.cut_off(member, from_clients=False)


@pytest.mark.parametrize("misfortune", [killed, stopped, cut_off, cut_off_from_the_others])
def test_another_member_takes_over_and_no_two_go_on(
    platform: Platform,
    url: str,
    group: Group,
    misfortune: Callable[[Group, Member], AbstractContextManager[None]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    trust = platform.trust
    with writing(url, trust, "plain") as plain, writing(url, trust, "safe", waits=True) as safe:
        time.sleep(BEFORE)
        primary, moment = group.primary(), time.monotonic()
        with misfortune(group, primary):
            time.sleep(AWAY_SECONDS)
        after = time.monotonic()
        time.sleep(AFTER)
    now = group.wait()
    tell(capsys, f"primary {misfortune.__name__}", url, platform, moment, plain, safe)
    assert now.number != primary.number
    assert max(safe.acknowledged.values()) > after


def test_members_are_restarted_one_after_the_other_and_nothing_is_lost(
    platform: Platform, url: str, group: Group, capsys: pytest.CaptureFixture[str]
) -> None:
    """As for another image, or another host: a primary that is told to end hands over first."""
    trust = platform.trust
    with writing(url, trust, "plain") as plain, writing(url, trust, "safe", waits=True) as safe:
        time.sleep(BEFORE)
        moment = time.monotonic()
        for number in (1, 2, 3):
            (member,) = [each for each in group.members() if each.number == number]
            member.container.stop(timeout=30)  # its Sentinel goes with it: until it is back, the group is not whole
            group.wait()
        time.sleep(AFTER)
    lost = tell(capsys, "each member restarted in turn", url, platform, moment, plain, safe)
    assert lost == 0


def test_a_member_that_comes_back_without_its_disk_lets_the_same_clients_in_as_the_primary_too(
    platform: Platform, url: str, group: Group
) -> None:
    """Users and settings are in no replication: the member has the primary's before it may be chosen."""
    (found,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    platform.api.patch(f"/redis/v0/databases/{found['id']}/config", json={"timeout": 77}).raise_for_status()
    ask(url, platform.trust, "SET", "kept", "44", seconds=10)
    primary = group.wait()
    number = next(each.number for each in group.members() if each.number != primary.number)

    def asked(*words: str) -> str:
        """What that member answers the administrator; nothing while it does not run."""
        for each in group.members():
            if each.number == number:
                return str(each.container.exec_run([ADMIN, *words], user="valkey").output.decode())
        return ""

    (member,) = [each for each in group.members() if each.number == number]
    member.container.exec_run(["sh", "-c", "rm -rf /var/lib/valkey/*"], user="valkey")
    member.container.kill()
    eventually(lambda: "replica-priority\n100" in asked("CONFIG", "GET", "replica-priority"), 60, "it may be chosen")
    assert "user default on" in asked("ACL", "LIST")
    assert "timeout\n77" in asked("CONFIG", "GET", "timeout")
    group.wait()
    asked("CONFIG", "SET", "replica-priority", "1")
    time.sleep(AWAY_SECONDS)  # Sentinels hear of it
    primary.container.stop(timeout=30)
    eventually(lambda: group.wait().number == number, 60, "it is the primary")
    assert ask(url, platform.trust, "GET", "kept", seconds=10) == "44"
    asked("CONFIG", "SET", "replica-priority", "100")


def test_clients_beyond_the_plans_number_are_turned_away_and_the_others_stay(
    platform: Platform, url: str, group: Group
) -> None:
    """None of them is let in to where looks at the primary are answered, which would be taken for lost otherwise."""
    primary, clients, turned_away = group.primary(), data_services.plan(data_services.REDIS, "premium-0").connections, 0
    with contextlib.ExitStack() as held:
        connections: list[Connection] = []
        for _ in range(2 * clients):
            try:
                connections.append(Connection(url, platform.trust))
                held.callback(connections[-1].close)
            except OSError:
                turned_away += 1
        assert (len(connections), turned_away) == (clients, clients)
        for _ in range(5):
            time.sleep(1)
            assert {each("PING") for each in connections} == {"PONG"}
        (found,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
        path = f"/redis/v0/databases/{found['id']}"
        wanted = {"name": "HA Status", "values": ["Available"]}
        eventually(lambda: wanted in platform.api.get(path).raise_for_status().json()["info"], 60, "all members count")
    assert group.primary().number == primary.number


def tell(
    capsys: pytest.CaptureFixture[str], what: str, url: str, platform: Platform, since: float, *found: History
) -> int:
    """Print what came of the writers, and return how much was lost of the first, which did not wait for replicas."""
    plain, safe = found
    (lost, twice), (safe_lost, safe_twice) = (each.compare(url, platform.trust) for each in found)
    with capsys.disabled():
        print(
            f"\n{what}: nothing acknowledged for {plain.outage(since):.2f} s ({safe.outage(since):.2f} s with WAIT); "
            f"{lost} of {len(plain.acknowledged)} lost ({safe_lost} of {len(safe.acknowledged)} with WAIT); "
            f"refused: {sorted({each[:60] for each in plain.refused + safe.refused})}"
        )
    assert twice == safe_twice == 0
    assert safe_lost == 0
    return lost
