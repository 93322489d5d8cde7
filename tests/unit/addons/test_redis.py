"""What the provider of Redis has the server do, word by word; the server itself is in the end-to-end tests."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dynoform.addons import redis
from dynoform.addons.databases import Place
from dynoform.addons.engine import Job, JobState
from dynoform.addons.provider import RefusedError, Resource
from dynoform.addons.redis import RedisProvider
from dynoform.addons.transfers import Transfers
from dynoform.configuration import Configuration
from dynoform.domain import addons, data_services
from dynoform.domain.data_hosts import DataHost
from dynoform.domain.transfers import Outcome
from dynoform.errors import UnavailableError
from dynoform.journal import Journal
from dynoform.store import accounts, databases, transfers
from dynoform.store.addon_services import find_plan, register_own
from dynoform.store.addons import create, enqueue
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Addon, DatabaseCredential, LeftVolume, RedisMember, Transfer, now
from tests.local_databases import Made
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


INFO = (
    "# Server\r\nvalkey_version:8.1.1\r\nused_memory:1048576\r\nused_memory_dataset:27000000\r\n"
    "connected_clients:2\r\nmaxmemory:1\r\nmin_slaves_good_slaves:2\r\n"
)
SETTINGS = (
    'CONFIG SET maxmemory-policy "noeviction"\nCONFIG SET timeout "300"\nCONFIG SET notify-keyspace-events ""\n'
    "CONFIG REWRITE\n"
)
"""What members are told of those that the primary has."""
KILL = "CLIENT KILL USER default\n"


class Scripted:
    """Keeps what is asked of containers."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.info: dict[str, str] = {}
        """What the server says of itself, where that is something else."""
        self.members: list[tuple[str, str]] = []
        """What members were asked, and which of them."""
        self.images: dict[str, str] = {}
        self.waited: list[list[str]] = []
        self.away = ""
        """A member that does not answer."""
        self.refusing: list[str] = []
        """Whose connections are refused: members, ``primary`` for whom the Sentinels take for it, ``admin`` for one."""
        self.refusals: dict[str, str] = {}
        """What commands are answered instead, by how they begin."""
        self.begun: list[Job] = []
        self.hosts: list[DataHost] = []
        self.removed: list[str] = []
        """Add-ons whose volumes were taken away."""
        self.state = JobState(True, "")

    def network_id(self, name: str) -> str:
        return name

    def data_hosts(self) -> list[DataHost]:
        return self.hosts

    def published_ports(self) -> set[int]:
        return set()

    def wait(self, service: str, argv: Sequence[str], user: str) -> None:
        self.waited.append(list(argv))

    def leads(self, service: str) -> bool:
        return True

    def kill(self, service: str) -> None:
        raise AssertionError("Valkey is not killed")

    def job(self, name: str) -> JobState | None:
        return self.state if self.begun else None

    def job_names(self) -> list[str]:
        return [job.name for job in self.begun]

    def begin(self, job: Job) -> None:
        self.begun.append(job)

    def end(self, name: str) -> None:
        self.begun.clear()

    def remove_volumes(self, addon: str) -> None:
        self.removed.append(addon)

    def image(self, service: str) -> str:
        return self.images.get(service[-2:], "")

    def run(self, service: str, argv: Sequence[str], stdin: str, user: str) -> str:
        """As ``valkey-cli``, which never fails by what comes of commands on standard input."""
        assert user == "valkey"
        words = list(argv[2:] if argv[0] == "env" else argv)
        if words[0] == "/opt/dynoform/valkey-member":
            if words[1] == self.away:
                raise UnavailableError("valkey-member", "timed out", "it is tried again")
            self.members.append((" ".join(words[1:]), stdin))
        else:
            assert words == ["/opt/dynoform/valkey-admin"]
            self.asked.append(stdin)
        if (words[1] if len(words) > 1 else "admin") in self.refusing:
            return ""
        return "".join(self._answer(each) for each in stdin.splitlines())

    def _answer(self, command: str) -> str:
        for beginning, error in self.refusals.items():
            if command.startswith(beginning):
                return f"{error}\n\n"
        if command.startswith("INFO"):
            return INFO + "".join(f"{name}:{value}\r\n" for name, value in self.info.items()) + "\n"
        if command == "CLIENT LIST":
            return "id=3 addr=10.0.0.1:1 user=default cmd=get\nid=4 addr=10.0.0.1:2 user=member cmd=ping\n\n"
        if command.startswith("CLIENT KILL"):
            return "2\n"
        if command.startswith("CONFIG GET"):
            return "maxmemory-policy\nnoeviction\ntimeout\n300\nnotify-keyspace-events\n\n"
        return "OK\n"


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def provider(configuration: Configuration, store: Store, scripted: Scripted, made: Made) -> RedisProvider:
    for name in ("ca.crt", "ca.key"):
        (configuration.secrets / name).write_text("of the tests")
    vault = Vault(configuration.secret("encryption_key"))
    configuration = replace(configuration, valkey_image="valkey:2")
    return RedisProvider(Place(configuration, store, vault, scripted, made))


@pytest.fixture
def wanted(configuration: Configuration, store: Store) -> Resource:
    """An add-on as the worker has it."""
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")
        plan = find_plan(session, "heroku-redis:mini")
        assert plan is not None
        addon, change = create(session, vault, app, plan, account)
        return Resource(
            addon.id, addon.name, "heroku-redis", "mini", "dynoform::local", "", app.id, change_id=change.id
        )


def digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def ask(provider: RedisProvider, wanted: Resource, operation: str, **details: Any) -> Any:
    return provider.operate(wanted, operation, details)


def test_users_are_made_by_digests_and_settings_written_down(
    provider: RedisProvider, wanted: Resource, scripted: Scripted
) -> None:
    url = (provider.provision(wanted).config or {})["REDIS_URL"]
    password = url.split(":")[2].partition("@")[0]
    assert scripted.asked == [f"ACL SETUSER default reset on {digest(password)} ~* &* +@all -@admin\nACL SAVE\n"]
    assert ask(provider, wanted, data_services.CONFIGURE, timeout="120").result["timeout"] == "300"
    assert scripted.asked[1] == 'CONFIG SET timeout "120"\nCONFIG REWRITE\n'


def test_a_rotation_has_two_passwords_until_the_old_one_ends(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, store: Store
) -> None:
    old, new = (
        str((answer.config or {})["REDIS_URL"]).split(":")[2].partition("@")[0]
        for answer in (provider.provision(wanted), ask(provider, wanted, data_services.ROTATE))
    )
    assert new != old
    assert scripted.asked[-1].startswith(f"ACL SETUSER default reset on {digest(old)} {digest(new)} ~*")
    assert KILL not in scripted.asked[-1], "connections by the old one go on as long as it does"
    with store.transaction() as session:
        for each in databases.all_credentials(session, wanted.uuid):
            if each.ends_at is not None:
                each.ends_at = now() - timedelta(seconds=1)
    ask(provider, wanted, data_services.MAINTAIN)
    assert scripted.asked[-1].startswith(f"ACL SETUSER default reset on {digest(new)} ~*")
    assert scripted.asked[-1].endswith(f"\nACL SAVE\n{KILL}")
    with store.transaction() as session:
        assert session.query(DatabaseCredential).count() == 1


def test_a_forced_rotation_ends_the_connections_of_apps_at_each_member_and_once(
    provider: RedisProvider, premium: Resource, scripted: Scripted, store: Store
) -> None:
    provider.provision(premium)
    scripted.members.clear()
    scripted.refusing = ["3"]
    with pytest.raises(UnavailableError, match="member 3 of 3 does not do as told: it does not answer"):
        ask(provider, premium, data_services.ROTATE, forced=True)
    scripted.refusing, before = [], len(scripted.members)
    url = (ask(provider, premium, data_services.ROTATE, forced=True).config or {})["REDIS_URL"]
    new = digest(url.split(":")[2].partition("@")[0])
    told = f"ACL SETUSER default reset on {new} ~* &* +@all -@admin\nACL SAVE\n{KILL}"
    assert scripted.members[before:] == [("1", told), ("2", told), ("3", told)]
    with store.transaction() as session:
        assert session.query(DatabaseCredential).count() == 1, "nothing is left to end"


def test_what_is_found_out_is_what_it_says_of_itself(
    provider: RedisProvider, wanted: Resource, scripted: Scripted
) -> None:
    provider.provision(wanted)
    assert ask(provider, wanted, data_services.INSPECT).result == {
        "valkey_version": "8.1.1", "used_memory": "1048576", "connected_clients": "1", "maxmemory": "1",
        "replicas": "2", "maxmemory-policy": "noeviction", "timeout": "300", "notify-keyspace-events": "",
    }  # fmt: skip


def test_what_only_postgres_can_do_is_refused(provider: RedisProvider, wanted: Resource) -> None:
    with pytest.raises(RefusedError, match="heroku-redis cannot do reset"):
        ask(provider, wanted, data_services.RESET)


@pytest.fixture
def premium(wanted: Resource) -> Resource:
    return replace(wanted, plan="premium-0")


def changing(store: Store, wanted: Resource, plan: str) -> Resource:
    """A change of the plan, as the worker has it."""
    with store.transaction() as session:
        addon, found = session.get_one(Addon, wanted.uuid), find_plan(session, f"heroku-redis:{plan}")
        assert found is not None
        change = enqueue(session, addon, addons.CHANGE, addon.account_id, found.id)
        return replace(wanted, plan=plan, change_id=change.id)


def test_a_group_is_told_where_its_members_are_and_each_of_them_lets_the_same_users_in(
    provider: RedisProvider, premium: Resource, scripted: Scripted, made: Made
) -> None:
    url = (provider.provision(premium).config or {})["REDIS_URL"]
    (instance,) = made.told
    ports = [instance["port"], *(port for pair in instance["members"] for port in pair)]
    assert sorted(ports) == list(range(15000, 15007))
    assert instance["images"] == ["valkey:2"] * 3
    assert instance["connections"] == 40, "the plan's: members have their own besides"
    assert f":{instance['port']}" in url
    assert scripted.waited == [["/opt/dynoform/valkey-member", "ready", "2"]]
    password = url.split(":")[2].partition("@")[0]
    users = f"ACL SETUSER default reset on {digest(password)} ~* &* +@all -@admin\nACL SAVE\n"
    told = f"{SETTINGS}{users}CONFIG SET replica-priority 100\n"
    asked = "CONFIG GET maxmemory-policy timeout notify-keyspace-events\n"
    assert scripted.members == [("primary", asked), ("1", told), ("2", told), ("3", told)]
    assert not scripted.asked


def test_the_members_password_is_one_for_each_addon_and_stays(
    provider: RedisProvider, premium: Resource, made: Made
) -> None:
    provider.provision(premium)
    ask(provider, premium, data_services.MAINTAIN, old=True)
    first, again = (each["password"] for each in made.told)
    assert first == again and len(first) == 64


@pytest.mark.parametrize("details", [{"old": True}, {"lost": True}])
def test_who_looks_after_a_group_tells_each_member_its_users_and_its_settings(
    provider: RedisProvider, premium: Resource, scripted: Scripted, details: dict[str, bool]
) -> None:
    provider.provision(premium)
    provisioned = list(scripted.members)
    scripted.members.clear()
    ask(provider, premium, data_services.MAINTAIN, **details)
    assert scripted.members == provisioned


def test_a_rotation_that_a_member_does_not_hear_of_is_tried_again(
    provider: RedisProvider, premium: Resource, scripted: Scripted
) -> None:
    provider.provision(premium)
    scripted.away = "3"
    with pytest.raises(UnavailableError, match="member 3 of 3 does not do as told: timed out — it is tried again"):
        ask(provider, premium, data_services.ROTATE)


@pytest.mark.parametrize("operation", [data_services.ROTATE, data_services.CONFIGURE, data_services.RESET_STATISTICS])
def test_a_member_that_refuses_connections_has_not_heard_of_a_change(
    provider: RedisProvider, premium: Resource, scripted: Scripted, operation: str
) -> None:
    provider.provision(premium)
    scripted.refusing = ["2"]
    details = {"timeout": 60} if operation == data_services.CONFIGURE else {}
    with pytest.raises(UnavailableError) as unavailable:
        ask(provider, premium, operation, **details)
    told = "member 2 of 3 does not do as told: it does not answer — it is tried again"
    assert str(unavailable.value) == f"{premium.name}: {told}"
    scripted.refusing = []
    ask(provider, premium, operation, **details)


def test_a_server_that_refuses_connections_is_not_there_yet(
    provider: RedisProvider, wanted: Resource, scripted: Scripted
) -> None:
    scripted.refusing = ["admin"]
    with pytest.raises(UnavailableError, match=f"^{wanted.name}: it does not answer — it is tried again$"):
        provider.provision(wanted)


@pytest.mark.parametrize("error", ["", "LOADING Valkey is loading the dataset in memory"])
def test_a_primary_that_was_killed_and_is_still_taken_for_it_has_said_nothing(
    provider: RedisProvider, wanted: Resource, premium: Resource, scripted: Scripted, made: Made, error: str
) -> None:
    provider.provision(premium)
    before = len(made.told)
    scripted.refusing = [] if error else ["primary"]
    scripted.refusals = {"INFO": error, "CONFIG GET": error} if error else {}
    expected = f"^{premium.name}: {error or 'it does not answer'} — it is tried again$"
    with pytest.raises(UnavailableError, match=expected):
        ask(provider, premium, data_services.INSPECT)
    with pytest.raises(UnavailableError, match=expected):
        ask(provider, premium, data_services.CONFIGURE, timeout=60)
    with pytest.raises(UnavailableError, match=expected):
        provider.change_plan(wanted)
    assert len(made.told) == before, "nobody knows whether its data have room"


@pytest.mark.parametrize("command", ["ACL SETUSER", "ACL SAVE"])
def test_what_a_server_refuses_is_noticed_also_where_it_does_what_comes_after(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, command: str
) -> None:
    scripted.refusals = {command: "LOADING Valkey is loading the dataset in memory"}
    with pytest.raises(UnavailableError, match="LOADING Valkey is loading"):
        provider.provision(wanted)


def test_another_image_comes_to_one_member_after_the_other(
    provider: RedisProvider, premium: Resource, scripted: Scripted, made: Made
) -> None:
    provider.provision(premium)
    scripted.images = {"-1": "valkey:1", "-2": "valkey:1", "-3": "valkey:1"}
    scripted.waited.clear()
    ask(provider, premium, data_services.MAINTAIN, old=True)
    old, new = "valkey:1", "valkey:2"
    assert [each["images"] for each in made.told[1:]] == [[new, old, old], [new, new, old], [new, new, new]]
    assert scripted.waited == [["/opt/dynoform/valkey-member", "ready", "2"]] * 3


def test_one_server_becomes_a_group_at_the_same_port_and_a_group_one_server_with_all_data(
    provider: RedisProvider, wanted: Resource, premium: Resource, scripted: Scripted, made: Made, store: Store
) -> None:
    provider.provision(wanted)
    provider.change_plan(premium)
    single, group = made.told
    wanted = changing(store, wanted, "mini")
    assert "members" not in single and single["port"] == group["port"] and len(group["members"]) == 3
    assert (single["connections"], group["connections"]) == (28, 40)
    number, told = scripted.members[-1]
    assert number == "3" and told.startswith(SETTINGS) and told.endswith("\nCONFIG SET replica-priority 100\n")

    with pytest.raises(RefusedError, match=r"25\.7 MB of data do not fit in the 25 MB of heroku-redis:mini"):
        provider.change_plan(wanted)
    scripted.images = {"-1": "valkey:2", "-2": "valkey:2", "-3": "valkey:2"}
    with pytest.raises(RefusedError, match=r"25\.7 MB of data do not fit in the 25 MB of heroku-redis:mini"):
        provider.change_plan(replace(wanted, attempt=2))
    assert len(made.told) == 2
    scripted.info = {"used_memory_dataset": "20000000"}
    provider.change_plan(replace(wanted, attempt=2))
    alone, one = made.told[2:]
    assert alone["members"] == [] and "members" not in one and one["port"] == single["port"]
    assert ("settle 2", "") in scripted.members
    with store.transaction() as session:
        assert session.query(RedisMember).count() == 0


def test_a_plan_is_begun_with_once_it_is_known_that_the_data_have_room_and_finished_then(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, made: Made, store: Store
) -> None:
    provider.provision(wanted)
    to = changing(store, wanted, "premium-0")
    scripted.refusing, scripted.info = ["admin"], {"used_memory_dataset": "60000000"}
    for attempt in (1, 2):
        with pytest.raises(UnavailableError, match="it does not answer"):
            provider.change_plan(replace(to, attempt=attempt))
    scripted.refusing = []
    with pytest.raises(RefusedError, match=r"57\.2 MB of data do not fit in the 50 MB of heroku-redis:premium-0"):
        provider.change_plan(replace(to, attempt=3))
    assert len(made.told) == 1

    scripted.info, scripted.away = {"used_memory_dataset": "20000000"}, "3"
    with pytest.raises(UnavailableError, match="member 3 of 3 does not do as told"):
        provider.change_plan(replace(to, attempt=4))
    assert len(made.told) == 2, "there is a group"
    scripted.images = {"-1": "valkey:2", "-2": "valkey:2", "-3": "valkey:2"}
    scripted.info, scripted.away = {"used_memory_dataset": "60000000"}, ""
    assert "REDIS_URL" in (provider.change_plan(replace(to, attempt=5)).config or {}), "it is not given up half-way"


def test_a_group_does_not_become_one_server_while_a_replica_may_lack_data(
    provider: RedisProvider,
    wanted: Resource,
    premium: Resource,
    scripted: Scripted,
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def taken_away(name: str, instance: Mapping[str, Any], *, again: bool) -> None:
        del scripted.images["-3"]
        raise UnavailableError("pulumi up", "was killed")

    provider.provision(premium)
    scripted.images = {"-1": "valkey:2", "-2": "valkey:2", "-3": "valkey:2"}
    scripted.info = {"used_memory_dataset": "20000000", "min_slaves_good_slaves": "1"}
    before = len(made.told)
    for attempt in (1, 2):
        with pytest.raises(RefusedError) as refused:
            provider.change_plan(replace(wanted, attempt=attempt))
        assert str(refused.value) == (
            f"1 of 2 replicas of {wanted.name} keep up, and a single server might begin without what was written last:"
            " try again once heroku redis:info shows HA Status: Available"
        )
    scripted.info["min_slaves_good_slaves"] = "2"
    scripted.away = "settle"
    with pytest.raises(UnavailableError, match="it is tried again"):
        provider.change_plan(wanted)
    assert len(made.told) == before, "nothing is taken away"
    scripted.away = ""

    # A worker is killed that has taken away the third one.
    with monkeypatch.context() as patched:
        patched.setattr(made, "up", taken_away)
        with pytest.raises(UnavailableError, match="was killed"):
            provider.change_plan(wanted)
    scripted.info["min_slaves_good_slaves"] = "1"
    provider.change_plan(replace(wanted, attempt=2))
    assert ("settle 1", "") in scripted.members


def test_a_group_without_its_first_member_does_not_become_one_server(
    provider: RedisProvider, wanted: Resource, premium: Resource, scripted: Scripted, made: Made
) -> None:
    provider.provision(premium)
    scripted.images = {"-2": "valkey:2", "-3": "valkey:2"}
    scripted.info = {"used_memory_dataset": "20000000"}
    before = len(made.told)
    with pytest.raises(UnavailableError, match="its first member is away, which is to have all data"):
        provider.change_plan(replace(wanted, attempt=2))
    assert len(made.told) == before


ONE, TWO, THREE, FOUR = (
    DataHost(name, f"10.0.0.{number}", platform=number == 1, marked=number > 1)
    for number, name in enumerate(("one", "two", "three", "four"), start=1)
)


def left(store: Store) -> set[tuple[str, str]]:
    """Hosts, and which member's volume is to be removed there."""
    with store.transaction() as session:
        return {(each.host, each.name[-2:]) for each in session.query(LeftVolume)}


def test_members_are_on_hosts_that_are_marked_and_leave_nothing_there(
    provider: RedisProvider, wanted: Resource, premium: Resource, scripted: Scripted, made: Made, store: Store
) -> None:
    scripted.hosts = [ONE, TWO, THREE]
    provider.provision(premium)
    placed = [None, ["three", "10.0.0.3"], ["two", "10.0.0.2"]]
    assert made.told[-1]["hosts"] == placed
    with store.transaction() as session:
        assert databases.standbys(session) == {"two": 1, "three": 1}

    scripted.hosts = [ONE, FOUR]
    ask(provider, premium, data_services.MAINTAIN, old=True)
    assert made.told[-1]["hosts"] == placed, "they stay where they are"
    scripted.hosts = [ONE, TWO, THREE]
    ask(provider, premium, data_services.MAINTAIN, lost=True)
    assert made.told[-1]["hosts"] == placed, "where all was lost, too, as long as there are those hosts"
    scripted.hosts = [ONE, FOUR]
    ask(provider, premium, data_services.MAINTAIN, lost=True)
    assert made.told[-1]["hosts"] == [None, ["four", "10.0.0.4"], None]

    scripted.images = {"-1": "valkey:2", "-2": "valkey:2", "-3": "valkey:2"}
    scripted.info = {"used_memory_dataset": "20000000"}
    provider.change_plan(replace(wanted, attempt=2))
    assert "hosts" not in made.told[-1] and left(store) == {("four", "-2")}
    provider.change_plan(premium)
    assert left(store) == set(), "what is used again is not removed"
    provider.deprovision(premium)
    assert left(store) == {("four", "-2")}


def test_a_group_on_several_hosts_is_found_on_each_and_one_server_on_the_platforms(
    provider: RedisProvider, wanted: Resource, premium: Resource, scripted: Scripted, made: Made
) -> None:
    scripted.hosts = [ONE, TWO, THREE]
    single = (provider.provision(wanted).config or {})["REDIS_URL"]
    spread = single.replace("@172.29.0.1:", "@172.29.96.1:")
    assert "gateway" not in made.told[-1] and spread != single
    assert provider.change_plan(premium).config == {"REDIS_URL": spread}
    assert made.told[-1]["gateway"] == "172.29.96.1"
    assert ask(provider, premium, data_services.MAINTAIN, old=True).config == {"REDIS_URL": spread}
    scripted.images = {"-1": "valkey:2", "-2": "valkey:2", "-3": "valkey:2"}
    scripted.info = {"used_memory_dataset": "20000000"}
    assert provider.change_plan(replace(wanted, attempt=2)).config == {"REDIS_URL": single}
    told = made.told[-1]
    assert "gateway" not in told and "look_password" not in told


def test_who_may_look_at_members_is_none_of_them(provider: RedisProvider, premium: Resource, made: Made) -> None:
    provider.provision(premium)
    passwords = {made.told[-1][name] for name in ("password", "look_password")}
    assert {len(each) for each in passwords} == {64} and len(passwords) == 2


def test_statistics_are_reset_at_each_member(provider: RedisProvider, premium: Resource, scripted: Scripted) -> None:
    provider.provision(premium)
    ask(provider, premium, data_services.RESET_STATISTICS)
    assert scripted.members[-3:] == [(number, "CONFIG RESETSTAT\n") for number in "123"]
    facts = ask(provider, premium, data_services.INSPECT).result
    assert (facts["replicas"], facts["connected_clients"]) == ("2", "1")


@pytest.fixture
def vault(configuration: Configuration) -> Vault:
    return Vault(configuration.secret("encryption_key"))


def back_up(store: Store, vault: Vault, wanted: Resource) -> tuple[uuid.UUID, str]:
    """A backup that is there, and its key."""
    with store.transaction() as session:
        backup = transfers.backup(session, vault, session.get_one(Addon, wanted.uuid))
        transfers.finish(session, backup, Outcome(10, "its-digest", 0, ()), "")
        return backup.id, transfers.secret(vault, backup)[transfers.KEY]


def test_a_redis_of_a_backup_begins_with_what_a_job_brings(
    provider: RedisProvider, premium: Resource, scripted: Scripted, made: Made, store: Store, vault: Vault
) -> None:
    identifier, key = back_up(store, vault, premium)
    wanted = replace(premium, options={"restore": str(identifier), "timeout": "60"})
    assert provider.provision(wanted).again_after == 0.5
    (job,) = scripted.begun
    assert [each["members"] for each in made.told] == [[]], "there is a volume, and no server on it"
    assert job.argv == ["/opt/dynoform/snapshot", "restore", f"/var/lib/dynoform/backups/{identifier}", "its-digest"]
    assert (job.stdin, job.image) == (f"{key}\n.\n", "valkey:2")
    used = [(name.rpartition("_")[2].partition("-")[0], mode) for name, _, mode in job.volumes]
    assert used == [("backups", "rw"), ("addon", "rw")]
    assert provider.provision(wanted).again_after == 0.5, "it is at work"
    scripted.state = JobState(False, "")
    assert "REDIS_URL" in (provider.provision(wanted).config or {})
    assert len(made.told[-1]["members"]) == 3 and not scripted.begun
    assert ("2", 'CONFIG SET timeout "60"\nCONFIG REWRITE\n') in scripted.members


@pytest.mark.parametrize("plan", ["mini", "premium-0"])
def test_a_restore_that_was_killed_begins_again(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, made: Made, store: Store, vault: Vault, plan: str
) -> None:
    identifier, _ = back_up(store, vault, wanted)
    wanted = replace(wanted, plan=plan, options={"restore": str(identifier)})
    assert provider.provision(wanted).again_after == 0.5
    (first,) = scripted.begun
    scripted.state = JobState(False, "exit code 137", killed=True)
    with pytest.raises(UnavailableError, match=r"^restore: was killed: exit code 137 — it begins again$"):
        provider.provision(wanted)
    assert not scripted.begun
    scripted.state, again = JobState(True, ""), replace(wanted, attempt=2)
    assert provider.provision(again).again_after == 0.5
    assert scripted.begun == [first] and [each["members"] for each in made.told] == [[], []], "no server is on it"
    scripted.state = JobState(False, "")
    assert "REDIS_URL" in (provider.provision(again).config or {})


def test_a_backup_that_cannot_be_read_is_told(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, store: Store, vault: Vault
) -> None:
    gone = replace(wanted, options={"restore": str(wanted.uuid)})
    with pytest.raises(RefusedError, match="The backup was deleted meanwhile"):
        provider.provision(gone)
    scripted.begun.append(Job("job", "", "", [], "", [], 0))
    scripted.state = JobState(False, "snapshot: the backup is not what was written: take another one")
    with pytest.raises(RefusedError, match="could not be made from the backup: snapshot: the backup is not what was"):
        provider.provision(gone)


def test_a_redis_that_is_destroyed_leaves_a_backup(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, made: Made, store: Store, vault: Vault
) -> None:
    provider.provision(wanted)
    with store.transaction() as session:
        session.get_one(Addon, wanted.uuid).provider_id = str(wanted.uuid)
    assert provider.deprovision(wanted).again_after == 0.5
    assert made.instances
    with store.transaction() as session:
        (backup,) = session.query(Transfer).all()
        assert (backup.final, backup.from_name) == (True, "REDIS")
        assert not transfers.is_of(vault, backup, "heroku-postgresql")
        transfers.finish(session, backup, Outcome(0, "", 0, ()), "the disk is full")
    assert redis.save(provider._place, wanted.uuid) == 27_000_000
    assert provider.deprovision(wanted).again_after is None
    assert not made.instances and scripted.removed == [str(wanted.uuid)]


@pytest.fixture
def shifts(provider: RedisProvider, tmp_path: Path) -> Transfers:
    """What works on backups."""
    return Transfers(provider._place, provider, tmp_path, Journal("test"))


def last_backup(store: Store, vault: Vault, wanted: Resource) -> uuid.UUID:
    with store.transaction() as session:
        addon = session.get_one(Addon, wanted.uuid)
        addon.provider_id = str(wanted.uuid)
        return transfers.final(session, vault, addon).id


BUSY = "ERR Background save already in progress"


@pytest.mark.parametrize("plan", ["mini", "premium-0"])
@pytest.mark.parametrize("error", ["", BUSY])
def test_a_last_snapshot_that_is_not_made_has_failed_after_five_minutes(
    provider: RedisProvider,
    wanted: Resource,
    scripted: Scripted,
    store: Store,
    vault: Vault,
    shifts: Transfers,
    plan: str,
    error: str,
) -> None:
    wanted = replace(wanted, plan=plan)
    provider.provision(wanted)
    backup = last_backup(store, vault, wanted)
    scripted.refusing = [] if error else ["admin", "1"]
    scripted.refusals = {"SAVE": error} if error else {}
    assert shifts.work() and not scripted.begun, "what is in the volume is an older one"
    assert provider.deprovision(wanted).again_after == 0.5
    with store.transaction() as session:
        found = session.get_one(Transfer, backup)
        assert found.finished_at is None
        found.created_at = now() - timedelta(minutes=6)
    assert shifts.work() and not shifts.work() and not scripted.begun
    with store.transaction() as session:
        found = session.get_one(Transfer, backup)
        assert found.finished_at is not None and found.succeeded is False
        told = f"The snapshot: {error or 'it does not answer'} — it is tried again"
        assert [each["message"] for each in found.log][-1] == told
    assert provider.deprovision(wanted).again_after is None


def test_a_last_snapshot_that_is_refused_is_made_at_the_next_try(
    provider: RedisProvider, wanted: Resource, scripted: Scripted, store: Store, vault: Vault, shifts: Transfers
) -> None:
    provider.provision(wanted)
    backup = last_backup(store, vault, wanted)
    scripted.refusals = {"SAVE": BUSY}
    assert shifts.work() and not scripted.begun
    scripted.refusals = {}
    assert shifts.work()
    (job,) = scripted.begun
    assert job.argv == ["/opt/dynoform/snapshot", "dump", f"/var/lib/dynoform/backups/{backup}"]
    with store.transaction() as session:
        assert session.get_one(Transfer, backup).source_bytes == 27_000_000
