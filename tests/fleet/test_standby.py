"""A database with its standby on another host, a Redis with its members and a Kafka with its brokers on three, on a
stack made from settings alone: the host with the primary, or with leaders of partitions, is lost, or the platform's,
and nothing that was acknowledged; of a Redis, nothing that a replica had. Dynos of other hosts go on by the address
that they know.
"""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from confluent_kafka import KafkaException

from tests import kafka_client
from tests.acknowledged import Writer, connect
from tests.e2e.conftest import Run, eventually
from tests.fleet.hosts import GATEWAY, Fleet, FleetHost
from tests.fleet.inventory import Inventory, told
from tests.fleet.test_up import STACK, Operator
from tests.redis_client import RefusedError, ask, writing
from tests.redis_group import ADMIN

pytestmark = [pytest.mark.fleet, pytest.mark.engine, pytest.mark.timeout(3600)]
HOSTS = ("host1", "host2", "host3")
APP = "kept"
HA = "/opt/dynoform/ha"
SERVICE = "com.docker.swarm.service.name"
FAILOVER_SECONDS, HAND_OVER_SECONDS = 30.0, 15.0
DYNO_GATEWAY = "172.29.96.1"
RELAY, RELAY_PORT = f"{STACK}_test-relay", 19000
SECRETS = "/run/secrets"
POOLED = "DATABASE_CONNECTION_POOL_URL"
REDIS_SECONDS = 6.0
"""For which a Redis may acknowledge nothing on a busy machine; it is about two on a quiet one."""
KAFKA_SECONDS = 8.0
"""For which a partition may acknowledge nothing."""
RATE, TOPIC, AWAY_SECONDS = 1000, "load", 20
PATIENCE: dict[str, Any] = {"socket.timeout.ms": 3000}
"""How long a client waits for a broker's answer: a host that is lost does not say that it is."""
KAFKA = "/data/kafka/v0/clusters"


class OfThree(Operator):
    """Three managers; one has the platform's data, standbys may be on the others."""

    def declared(self) -> dict[str, Any]:
        """The stack's settings."""
        declared = super().declared()
        for name in ("host2", "host3"):
            declared["hosts"][name]["data"] = True
        return declared | {"apps": {}}


@dataclass
class Parts:
    """What an add-on consists of, wherever that is."""

    fleet: Fleet
    service: str

    def host(self, noun: object) -> FleetHost:
        """Where a part runs: a number for a server, ``etcd-1`` and so on. Fails where it does not."""
        found = [host for host in self.fleet.hosts.values() if host.runs() and self._containers(host, noun)]
        assert len(found) == 1, f"{self.service}-{noun} runs on {[host.name for host in found]}"
        return found[0]

    def run(self, noun: object, user: str, *words: str) -> str:
        """What a program says beside a part; empty where it fails."""
        for host in self.fleet.hosts.values():
            if host.runs() and (container := self._containers(host, noun)):
                return host.docker("exec", "--user", user, container, *words, check=False)
        return ""

    def image(self, noun: object) -> str:
        """What a part runs from."""
        return self.fleet["host1"].docker(
            "service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}", f"{self.service}-{noun}"
        )

    def identity(self, noun: object) -> str:
        """The id of a part's service; empty while there is none."""
        words = ("service", "inspect", "--format", "{{.ID}}", f"{self.service}-{noun}")
        return self.fleet["host1"].docker(*words, check=False)

    def hosts(self, noun: object) -> set[str]:
        """The hosts on which there is one of these."""
        return {name for name, host in self.fleet.hosts.items() if host.runs() and self._containers(host, noun)}

    def does(self, host: FleetHost, noun: object, script: str) -> tuple[int, str]:
        """How a shell's script ends beside a part on a host, and what it says."""
        words = ("exec", self._containers(host, noun), "sh", "-c", f"( {script} ) 2>&1; printf '\\n%s' $?")
        *said, code = host.docker(*words).splitlines()
        return int(code), "\n".join(said).strip()

    def stop(self, noun: object) -> None:
        """Have a part end as for another image; Swarm starts it again."""
        host = self.host(noun)
        host.docker("stop", "--time", "30", self._containers(host, noun))

    def left(self, addon: str) -> list[str]:
        """What there still is of it, on whichever host."""
        of = ("--filter", f"label=dynoform.addon={addon}")
        kinds = (("volume", "ls", "--quiet", *of), ("ps", "--all", "--quiet", "--filter", f"name={self.service}"))
        found = [host.docker(*words) for host in self.fleet.hosts.values() for words in kinds]
        found += [self.fleet["host1"].docker(kind, "ls", "--quiet", *of) for kind in ("service", "secret")]
        return [each for each in found if each]

    def _containers(self, host: FleetHost, noun: object) -> str:
        filters = ("--filter", f"label={SERVICE}={self.service}-{noun}")
        return host.docker("ps", "--quiet", *filters, seconds=10, check=False)


class Servers(Parts):
    """Those of a PostgreSQL."""

    def ask(self, number: int, *words: str) -> str:
        """What ``ha`` says beside a server; empty where it fails."""
        return self.run(number, "postgres", HA, *words)

    def members(self) -> dict[str, tuple[str, str]]:
        """Name of each → its role and state, as whichever answers says."""
        for number in (1, 2):
            if (said := self.ask(number, "state")).startswith("{"):
                return {each["name"]: (each["role"], each["state"]) for each in json.loads(said)["members"]}
        return {}

    def are(self, primary: int) -> bool:
        """Whether this one is primary, and the other one has all that was acknowledged."""
        wanted = {f"member-{primary}": ("leader", "running"), f"member-{3 - primary}": ("sync_standby", "streaming")}
        return self.members() == wanted

    def led_from(self) -> str:
        """The host of the member that leads etcd; empty while none says so."""
        shown = f"--cacert {SECRETS}/members.crt --cert {SECRETS}/member.crt --key {SECRETS}/member.key"
        for number in (1, 2, 3):
            host = self.host(f"etcd-{number}")
            ask = f"curl -s --max-time 5 {shown} -d '{{}}' $ETCD_ADVERTISE_CLIENT_URLS/v3/maintenance/status"
            code, said = self.does(host, f"etcd-{number}", ask)
            if code == 0 and (found := json.loads(said))["leader"] == found["header"]["member_id"]:
                return host.name
        return ""

    def have_etcd_led_elsewhere(self, host: FleetHost) -> None:
        """Wait until the primary on a host has had another host lead."""
        eventually(
            lambda: self.led_from() not in ("", host.name), 120, f"etcd is led from another host than {host.name}"
        )

    def have_primary_elsewhere(self) -> None:
        """Have the primary on another host than the platform's."""
        self.have_primary(2)

    def have_primary(self, number: int) -> None:
        """Have this one be primary."""
        if not self.are(number):
            eventually(lambda: self.are(3 - number), 60, "the other one can take over")
            assert self.ask(3 - number, "switchover")
            eventually(lambda: self.are(number), 60, f"server {number} is primary")


class Members(Parts):
    """Those of a Redis."""

    def primary(self) -> int:
        """The one that takes writes, once both others keep up and none of them takes itself for it; 0 until then."""
        said = {number: self.run(number, "valkey", ADMIN, "INFO", "replication") for number in (1, 2, 3)}
        found = [number for number, text in said.items() if "role:master" in text]
        return found[0] if len(found) == 1 and "min_slaves_good_slaves:2" in said[found[0]] else 0


class Brokers(Parts):
    """Those of a Kafka."""

    def images(self) -> list[str]:
        """What each is to run from."""
        names = [f"{self.service}-{number}" for number in (1, 2, 3)]
        shown = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
        return self.fleet["host1"].docker("service", "inspect", "--format", shown, *names).split()

    def lose_disk(self, number: int) -> None:
        """End one at once, with all that it has."""
        host = self.host(number)
        data = host.docker("volume", "inspect", "--format", "{{.Mountpoint}}", f"{self.service}-{number}")
        host.run("sh", "-c", f"docker kill {self._containers(host, number)} && rm -rf {data}/data")


@pytest.fixture(scope="module")
def operator(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfThree]:
    with OfThree(fleet, tmp_path_factory.mktemp("operator")) as made:
        yield made


@pytest.fixture(scope="module")
def first(operator: OfThree) -> Run:
    """The run that made all of it."""
    done = operator.make()
    let_in(operator.fleet["host1"])
    return done


def container(host: FleetHost, noun: str) -> str:
    """Of one of the platform's own services."""
    return host.docker("ps", "--quiet", "--filter", f"label={SERVICE}={STACK}_{noun}")


def sql(host: FleetHost, noun: str, statement: str) -> str:
    """What the store answers to its superuser, beside a server."""
    words = ("exec", "--user", "postgres", container(host, noun), "psql", "-X", "-A", "-t", "-d", "dynoform")
    return host.docker(*words, "-c", statement)


def kill_under(writer: Writer, host: FleetHost) -> float:
    """Kill a host; for how many seconds nothing was acknowledged to a writer, who goes on."""
    eventually(lambda: len(writer.acknowledged) > 100, 60, "rows are acknowledged")
    killed = time.monotonic()
    host.kill()
    eventually(lambda: writer.goes_on(killed + 1.0), 120, "rows are acknowledged again")
    return writer.outage(killed)


def let_in(host: FleetHost) -> None:
    """Have a host let this machine in, until it boots again."""
    rule = f"insert rule inet dynoform_{STACK} from_outside ip saddr {GATEWAY} accept"
    host.run("nft", *rule.split())


@pytest.fixture(scope="module")
def app(operator: OfThree, first: Run) -> str:
    """The app that has the add-ons."""
    operator.api("POST", "/apps", json={"name": APP})
    return APP


@pytest.fixture(scope="module")
def addon(operator: OfThree, app: str) -> str:
    """The id of a premium database."""
    return provisioned(operator, "premium-0")


@pytest.fixture(scope="module")
def servers(operator: OfThree, addon: str) -> Servers:
    made = Servers(operator.fleet, f"{STACK}_addon-{addon}")
    eventually(lambda: made.are(1), 120, "the standby has all that was acknowledged")
    return made


@pytest.fixture(scope="module")
def redis(operator: OfThree, app: str) -> str:
    """The id of a premium Redis."""
    return provisioned(operator, "premium-0", service="heroku-redis")


@pytest.fixture(scope="module")
def members(operator: OfThree, redis: str) -> Members:
    made = Members(operator.fleet, f"{STACK}_addon-{redis}")
    eventually(made.primary, 120, "both replicas keep up")
    return made


@pytest.fixture(scope="module")
def kafka(operator: OfThree, app: str) -> str:
    """The id of a cluster of three brokers, with a topic."""
    made = provisioned(operator, "standard-0", service="heroku-kafka", config={"brokers": "3"})
    make_topic(operator, made, TOPIC)
    return made


@pytest.fixture(scope="module")
def brokers(operator: OfThree, kafka: str) -> Brokers:
    made = Brokers(operator.fleet, f"{STACK}_addon-{kafka}")
    for host in operator.fleet.hosts.values():
        let_in(host)
    eventually(lambda: in_sync(operator), 60, "all replicas are in sync")
    return made


def make_topic(operator: OfThree, kafka: str, name: str) -> None:
    topic = {"name": name, "partition_count": "6", "retention_time_ms": 86_400_000}
    operator.api("POST", f"{KAFKA}/{kafka}/topics", json={"topic": topic})


def client(operator: OfThree) -> dict[str, Any]:
    """What a client of the Kafka has, by the app's config vars."""
    return kafka_client.settings(operator.api("GET", f"/apps/{APP}/config-vars").json(), **PATIENCE)


def in_sync(operator: OfThree) -> bool:
    """Whether all replicas of the topic are, by the config vars that the API tells."""
    with suppress(KafkaException, httpx.HTTPError):
        return bool(kafka_client.leaders(client(operator), TOPIC))
    return False


@contextmanager
def newer(operator: OfThree, brokers: Brokers) -> Iterator[str]:
    """The process of databases takes Kafka's image for another one by this name for the length of the block."""
    present, name = brokers.images()[0], "dynoform/kafka:newer"
    for host in operator.fleet.hosts.values():
        host.docker("tag", present, name)

    def tell(image: str) -> None:
        words = ("service", "update", "--quiet", "--no-resolve-image", "--env-add", f"DYNOFORM_KAFKA_IMAGE={image}")
        operator.fleet["host1"].docker(*words, f"{STACK}_databases", seconds=120)

    tell(name)
    try:
        yield name
    finally:
        tell(present)


def provisioned(operator: OfThree, plan: str, service: str = "heroku-postgresql", **more: Any) -> str:
    """Make a database and wait for it; its id."""
    body = {"plan": f"{service}:{plan}", **more}
    made = str(operator.api("POST", f"/apps/{APP}/addons", json=body).json()["id"])
    path = f"/apps/{APP}/addons/{made}"
    eventually(lambda: operator.api("GET", path).json()["state"] == "provisioned", 420, f"there is a {plan}")
    return made


def url(operator: OfThree, name: str = "DATABASE_URL") -> str:
    """Where apps find it."""
    return str(operator.api("GET", f"/apps/{APP}/config-vars").json()[name])


def outside(operator: OfThree, name: str = "DATABASE_URL") -> str:
    """Where this machine finds the same: on the platform's host, which lets it in."""
    return url(operator, name).replace(f"@{DYNO_GATEWAY}:", f"@{operator.fleet['host1'].address}:")


@contextmanager
def as_dynos_of(host: FleetHost, parts: Parts, url: str) -> Iterator[str]:
    """The URL of the same by way of a container where a host's dynos are, which goes where they go."""
    first, where, image = parts.fleet["host1"], urlsplit(url), parts.image("address")
    lines = (
        "defaults", "mode tcp", "timeout connect 3s", "timeout client 1h", "timeout server 1h",
        "listen relay", "bind :9000", f"server there {where.hostname}:{where.port}",
    )  # fmt: skip
    script = "".join(f"echo '{line}'; " for line in lines)
    first.docker(
        *("service", "create", "--detach", "--no-resolve-image", "--name", RELAY, "--endpoint-mode", "dnsrr"),
        *("--network", f"{STACK}_dynos", "--publish", f"mode=host,target=9000,published={RELAY_PORT}"),
        *("--constraint", f"node.hostname=={host.name}", "--entrypoint", "sh", image),
        *("-c", f"{{ {script} }} >/tmp/relay.cfg; exec haproxy -db -f /tmp/relay.cfg"),
    )
    let_in(host)
    try:
        yield url.replace(f"@{where.hostname}:{where.port}", f"@{host.address}:{RELAY_PORT}")
    finally:
        first.docker("service", "rm", RELAY, check=False)


def by_psql(url: str) -> str:
    """What a shell's script does to ask a database of that URL for a 1, as a dyno would."""
    found = urlsplit(url)
    assert found.hostname == DYNO_GATEWAY
    target = f"host={DYNO_GATEWAY} port={found.port} user={found.username} dbname={found.path[1:]}"
    verified = f"sslmode=verify-full sslrootcert={SECRETS}/authority.crt"
    return f"PGPASSWORD={found.password} psql -X -A -t -d '{target} {verified}' -c 'SELECT 1'"


def answers(url: str) -> bool:
    try:
        with connect(url) as database:
            return database.execute("SELECT 1").fetchone() == (1,)
    except psycopg.Error:
        return False


def serves(url: str, trust: ssl.SSLContext) -> bool:
    try:
        return bool(ask(url, trust, "PING") == "PONG")
    except (OSError, RefusedError):
        return False


def info(operator: OfThree, addon: str, path: str = "/client/v11/databases") -> dict[str, str]:
    shown = operator.api("GET", f"{path}/{addon}").json()
    return {line["name"]: line["values"][0] for line in shown["info"]}


def look(operator: OfThree) -> None:
    """Have all repositories looked at now."""
    sql(operator.fleet["host1"], "postgres", "UPDATE databases SET look_at = now() - interval '1 second'")


def protected(operator: OfThree, addon: str) -> bool:
    look(operator)
    return info(operator, addon).get("Continuous Protection") == "On"


def test_the_standby_is_on_another_host_and_etcd_on_three(operator: OfThree, addon: str, servers: Servers) -> None:
    assert servers.host(1).name == "host1" and servers.host(2).name != "host1"
    assert {servers.host(f"etcd-{number}").name for number in (1, 2, 3)} == set(HOSTS)
    assert info(operator, addon)["Standby"] == "Has all that is acknowledged, on another host"


def test_all_that_is_done_to_a_database_is_done_where_its_primary_is(
    operator: OfThree, addon: str, servers: Servers
) -> None:
    with connect(outside(operator)) as database:
        database.execute("CREATE TABLE kept AS SELECT 1 AS number")
    servers.have_primary_elsewhere()
    operator.api("POST", f"/postgres/v0/databases/{addon}/credentials_rotation", json={})
    with connect(outside(operator)) as database:
        database.execute("INSERT INTO kept VALUES (2)")
    eventually(lambda: protected(operator, addon), 120, "its repository is on the platform's host")
    # What was written last has to be in the repository, where only the primary can bring it.
    more: dict[str, Any] = {"config": {"fork": "DATABASE"}, "attachment": {"name": "COPY"}}
    copy = provisioned(operator, "standard-0", **more)
    with connect(outside(operator, "COPY_URL")) as database:
        assert database.execute("SELECT number FROM kept ORDER BY 1").fetchall() == [(1,), (2,)]
    operator.api("DELETE", f"/apps/{APP}/addons/{copy}")


def test_its_standby_takes_over_before_the_host_with_the_primary_is_drained(
    operator: OfThree, addon: str, servers: Servers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.have_primary_elsewhere()
    name, inventory = servers.host(2).name, Inventory(operator.fleet, tmp_path)
    with Writer(outside(operator)) as writer:
        eventually(lambda: len(writer.acknowledged) > 100, 60, "rows are acknowledged")
        began = time.monotonic()
        drained = inventory.play("drain_host", "--limit", name)
        assert drained.returncode == 0, told(drained)
        assert f"{name}: has the primaries of add-on {addon}; their standbys elsewhere take over first" in told(drained)
        assert "no other host can run" not in told(drained)
        assert servers.members()["member-1"] == ("leader", "running")
        undrained = inventory.play("undrain_host", "--limit", name)
        assert undrained.returncode == 0, told(undrained)
        assert servers.are(1), "the next host can go"
        eventually(lambda: writer.goes_on(time.monotonic() - 1), 30, "rows are acknowledged")
        outage = writer.outage(began)
    found = writer.compare()
    with capsys.disabled():
        print(f"\n{name} drained and undrained: {outage:.1f} s without an answer, {found}")
    assert (found.lost, found.stale) == ([], [])
    assert outage < HAND_OVER_SECONDS


@pytest.mark.chaos
def test_the_host_with_the_primary_is_lost_and_nothing_that_was_acknowledged(
    operator: OfThree, addon: str, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.have_primary_elsewhere()
    host, before = servers.host(2), url(operator)
    servers.have_etcd_led_elsewhere(host)
    with Writer(outside(operator)) as writer:
        outage = kill_under(writer, host)
        assert info(operator, addon)["HA Status"] == "Temporarily Unavailable"
        host.boot()
        eventually(lambda: servers.are(1), 240, "the host is back, and what was primary there is the standby")
    found = writer.compare()
    with capsys.disabled():
        print(f"\n{host.name} lost: {outage:.1f} s without an answer, {found.acknowledged} acknowledged, {found}")
    assert (found.lost, found.stale) == ([], [])
    assert outage < FAILOVER_SECONDS
    assert url(operator) == before
    assert info(operator, addon)["Standby"] == "Has all that is acknowledged, on another host"


def test_dynos_of_each_host_find_a_database_at_their_own_host(operator: OfThree, addon: str, servers: Servers) -> None:
    found = urlsplit(url(operator))
    assert servers.hosts("address") == {"host2", "host3"}
    for number in (1, 2):
        assert servers.does(servers.host(number), number, by_psql(url(operator))) == (0, "1"), "in a dyno's place"
    shown = operator.api("GET", f"/postgres/v0/databases/{addon}/credentials/default").json()
    assert (shown["host"], shown["port"]) == (DYNO_GATEWAY, found.port)


def test_dynos_of_each_host_find_its_pool_at_their_own_host(operator: OfThree, addon: str, servers: Servers) -> None:
    body = {"app": APP, "credential": "default"}
    operator.api("POST", f"/client/v11/databases/{addon}/connection-pooling", json=body)
    pooled = url(operator, POOLED)
    assert urlsplit(pooled).port != urlsplit(url(operator)).port
    assert servers.hosts("pool") == {"host1"} and servers.hosts("pool-address") == {"host2", "host3"}
    for name, noun in zip(HOSTS, ("pool", "pool-address", "pool-address"), strict=True):
        assert servers.does(operator.fleet[name], noun, by_psql(pooled)) == (0, "1"), f"in a dyno's place on {name}"


def test_what_leads_dynos_to_a_database_may_ask_who_is_primary_and_nothing_else(
    operator: OfThree, addon: str, servers: Servers
) -> None:
    host = operator.fleet["host3"]
    script = "printf '%s\n' \"$ADDRESS_MEMBERS\"; ls " + SECRETS
    _, said = servers.does(host, "address", script)
    members, *files = said.splitlines()
    assert files == ["address.crt", "address.key", "members.crt"]
    server = members.split()[0].partition("=")[2].split(":")
    shown = f"--cacert {SECRETS}/members.crt --cert {SECRETS}/address.crt --key {SECRETS}/address.key"
    curl = f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 10 {shown}"
    rest = f"https://{server[0]}:{server[2]}"
    assert servers.does(host, "address", f"{curl} {rest}/cluster") == (0, "200")
    for method, path in (("POST", "switchover"), ("POST", "restart"), ("PATCH", "config"), ("DELETE", "switchover")):
        refused = servers.does(host, "address", f"{curl} -X {method} -d '{{}}' {rest}/{path}")
        assert refused == (0, "401"), f"{method} {path}"
    etcd = servers.run(1, "postgres", "printenv", "MEMBER_ETCD").split()[0]
    code, said = servers.does(host, "address", f"{curl} https://{etcd}/version")
    assert (code != 0, said) == (True, "000")
    own = shown.replace("address.", "member.")
    assert servers.does(servers.host(1), 1, f"curl -s --max-time 10 {own} https://{etcd}/version")[0] == 0
    target = f"host={server[0]} port={server[1]} user=postgres dbname=postgres"
    identity = f"sslmode=require sslcert={SECRETS}/address.crt sslkey={SECRETS}/address.key"
    code, said = servers.does(host, "address", f"psql -X -d '{target} {identity}' -c 'SELECT 1'")
    assert code != 0 and ("certificate" in said or "unknown ca" in said), said


@pytest.mark.chaos
def test_the_platforms_host_is_lost_and_dynos_elsewhere_write_on_at_the_same_address(
    operator: OfThree, addon: str, servers: Servers, capsys: pytest.CaptureFixture[str]
) -> None:
    servers.have_primary(1)
    platform, before, url_of_pool = operator.fleet["host1"], url(operator), url(operator, POOLED)
    servers.have_etcd_led_elsewhere(platform)
    (other,) = set(HOSTS) - {"host1", servers.host(2).name}
    with as_dynos_of(operator.fleet[other], servers, before) as there:
        eventually(lambda: answers(there), 60, f"a container where dynos of {other} are gets to it")
        with Writer(there) as writer:
            outage = kill_under(writer, platform)
            time.sleep(10)
            assert writer.goes_on(time.monotonic() - 3), "without the platform's host"
            pooled = by_psql(url_of_pool)
            assert servers.does(operator.fleet[other], "pool-address", pooled) == (0, "1"), "through the pool, too"
            platform.boot()
            eventually(lambda: servers.are(2), 300, "the host is back, and what was primary there is the standby")
            eventually(lambda: url(operator) == before, 120, "the platform answers, and apps have the same config var")
        found = writer.compare()
    let_in(platform)
    with capsys.disabled():
        print(f"\nhost1 lost: {outage:.1f} s without an answer to {other}, {found.acknowledged} acknowledged, {found}")
    assert (found.lost, found.stale) == ([], [])
    assert outage < FAILOVER_SECONDS
    eventually(lambda: info(operator, addon).get("HA Status") == "Available", 60, "all is whole")


def test_nothing_of_a_destroyed_database_is_left_on_any_host(operator: OfThree, addon: str, servers: Servers) -> None:
    operator.api("DELETE", f"/apps/{APP}/addons/{addon}")
    eventually(lambda: not servers.left(addon), 180, "nothing is left")


def test_the_members_of_a_redis_are_on_three_hosts(members: Members) -> None:
    assert members.host(1).name == "host1"
    assert {members.host(number).name for number in (1, 2, 3)} == set(HOSTS)


@pytest.mark.chaos
def test_the_host_with_a_redis_primary_is_lost_and_nothing_that_a_replica_had(
    operator: OfThree, redis: str, members: Members, capsys: pytest.CaptureFixture[str]
) -> None:
    before, trust = url(operator, "REDIS_URL"), trusted(operator)
    from_here = outside(operator, "REDIS_URL")
    if members.primary() == 1:
        members.stop(1)
        eventually(lambda: members.primary() > 1, 90, "the primary is on another host than the platform's")
    primary = members.primary()
    host = members.host(primary)
    with writing(from_here, trust, "plain") as plain, writing(from_here, trust, "safe", waits=True) as safe:
        eventually(lambda: min(len(plain.acknowledged), len(safe.acknowledged)) > 100, 60, "writes are acknowledged")
        killed = time.monotonic()
        host.kill()
        time.sleep(10)
        host.boot()
        eventually(members.primary, 240, "the host is back, and its member a replica")
        time.sleep(3)
    assert members.primary() != primary
    assert url(operator, "REDIS_URL") == before
    assert info(operator, redis, "/redis/v0/databases")["HA Status"] == "Available"
    (lost, twice), (safe_lost, safe_twice) = plain.compare(from_here, trust), safe.compare(from_here, trust)
    outages = plain.outage(killed), safe.outage(killed)
    with capsys.disabled():
        print(
            f"\n{host.name} lost: nothing acknowledged for {outages[0]:.1f} s ({outages[1]:.1f} s with WAIT); "
            f"{lost} of {len(plain.acknowledged)} lost ({safe_lost} of {len(safe.acknowledged)} with WAIT); "
            f"refused: {sorted({each[:60] for each in plain.refused + safe.refused})}"
        )
    assert (twice, safe_lost, safe_twice) == (0, 0, 0)
    assert max(outages) < REDIS_SECONDS


def trusted(operator: OfThree) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=operator.environment["DYNOFORM_CA"])


def test_what_leads_dynos_to_a_redis_may_ask_who_is_primary_and_nothing_else(
    operator: OfThree, redis: str, members: Members
) -> None:
    assert urlsplit(url(operator, "REDIS_URL")).hostname == DYNO_GATEWAY
    assert members.hosts("address") == {"host2", "host3"}
    host = operator.fleet["host3"]
    assert members.does(host, "address", f"ls {SECRETS}") == (0, "ca.crt\nlook")
    address, port, _ = members.run(1, "valkey", "printenv", "VALKEY_MEMBERS").split()[0].split(":")
    client = f"REDISCLI_AUTH=$(cat {SECRETS}/look) valkey-cli -e --tls --cacert {SECRETS}/ca.crt --no-auth-warning"
    client = f"{client} -h {address} -p {port} --user look"
    code, said = members.does(host, "address", f"{client} INFO replication")
    assert code == 0 and "role:" in said
    for words in ("CONFIG GET dir", "GET plain", "REPLICAOF NO ONE", "ACL LIST", "CLIENT LIST", "FLUSHALL", "FAILOVER"):
        code, said = members.does(host, "address", f"{client} {words}")
        assert code != 0 and "NOPERM" in said, words
    assert members.primary()


@pytest.mark.chaos
def test_the_platforms_host_is_lost_and_dynos_elsewhere_write_on_to_a_redis(
    operator: OfThree, redis: str, members: Members, capsys: pytest.CaptureFixture[str]
) -> None:
    before, trust, platform = url(operator, "REDIS_URL"), trusted(operator), operator.fleet["host1"]
    if members.primary() != 1:
        members.run(1, "valkey", ADMIN, "CONFIG", "SET", "replica-priority", "1")
        time.sleep(12)  # Sentinels hear of it
        members.stop(members.primary())
        eventually(lambda: members.primary() == 1, 90, "the primary is on the platform's host")
    with as_dynos_of(operator.fleet["host3"], members, before) as there:
        eventually(lambda: serves(there, trust), 60, "a container where dynos are gets to it")
        with writing(there, trust, "of dynos") as plain, writing(there, trust, "kept", waits=True) as safe:
            eventually(
                lambda: min(len(each.acknowledged) for each in (plain, safe)) > 100, 60, "writes are acknowledged"
            )
            killed = time.monotonic()
            platform.kill()
            time.sleep(15)
            platform.boot()
            eventually(members.primary, 240, "the host is back, and its member a replica")
            time.sleep(3)
        (lost, twice), (safe_lost, safe_twice) = plain.compare(there, trust), safe.compare(there, trust)
    let_in(platform)
    assert members.primary() != 1
    eventually(lambda: url(operator, "REDIS_URL") == before, 120, "the platform answers")
    outages = plain.outage(killed), safe.outage(killed)
    with capsys.disabled():
        print(
            f"\nhost1 lost: nothing acknowledged to host3 for {outages[0]:.1f} s ({outages[1]:.1f} s with WAIT); "
            f"{lost} of {len(plain.acknowledged)} lost ({safe_lost} of {len(safe.acknowledged)} with WAIT); "
            f"refused: {sorted({each[:60] for each in plain.refused + safe.refused})}"
        )
    assert (twice, safe_lost, safe_twice) == (0, 0, 0)
    assert max(outages) < REDIS_SECONDS


def test_nothing_of_a_destroyed_redis_is_left_on_any_host(operator: OfThree, redis: str, members: Members) -> None:
    operator.api("DELETE", f"/apps/{APP}/addons/{redis}")
    eventually(lambda: not members.left(redis), 180, "nothing is left")


def test_the_brokers_of_a_kafka_are_on_three_hosts_and_clients_know_each_by_its_own(
    operator: OfThree, kafka: str, brokers: Brokers
) -> None:
    hosts = [brokers.host(number) for number in (1, 2, 3)]
    assert hosts[0].name == "host1" and {host.name for host in hosts} == set(HOSTS)
    addresses = [urlsplit(each).hostname for each in url(operator, "KAFKA_URL").split(",")]
    assert addresses == [host.address for host in hosts]
    assert operator.api("GET", f"{KAFKA}/{kafka}").json()["state"]["message"] == "available"


@pytest.mark.chaos
def test_the_host_with_leaders_of_a_kafka_is_lost_and_nothing_that_was_acknowledged(
    operator: OfThree, kafka: str, brokers: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = client(operator)
    number = next(each for each in kafka_client.leaders(mine, TOPIC).values() if each > 1)
    host = brokers.host(number)
    with kafka_client.load(mine, TOPIC, RATE) as sent:
        eventually(lambda: len(sent.acknowledged) > 5 * RATE, 60, "messages are acknowledged")
        host.kill()
        time.sleep(AWAY_SECONDS)
        # All that is asked of a cluster is, meanwhile.
        assert operator.api("GET", f"{KAFKA}/{kafka}").json()["state"]["message"] == "available, 2 of 3 brokers"
        make_topic(operator, kafka, "meanwhile")
        operator.api("POST", f"{KAFKA}/{kafka}/rotate-credentials")
        host.boot()
        let_in(host)
        eventually(lambda: in_sync(operator), 240, "the host is back, and all replicas are in sync")
    lost, twice = sent.compare(mine, TOPIC)
    with capsys.disabled():
        print(
            f"\n{host.name} lost: a partition acknowledged nothing for {sent.pause:.1f} s; {len(sent.acknowledged)} "
            f"acknowledged, {sent.refused} refused, {lost} lost, {twice} twice"
        )
    kafka_client.send(client(operator), "meanwhile", "by the new certificate")
    assert (lost, twice, sent.refused) == (0, 0, 0)
    assert sent.pause < KAFKA_SECONDS


def test_a_host_with_a_broker_is_drained_and_the_next_one_can_go_once_it_is_undrained(
    operator: OfThree, kafka: str, brokers: Brokers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, inventory = brokers.host(3).name, Inventory(operator.fleet, tmp_path)
    make_topic(operator, kafka, "drained")
    with kafka_client.load(client(operator), "drained", RATE) as sent:
        eventually(lambda: len(sent.acknowledged) > RATE, 60, "messages are acknowledged")
        for playbook in ("drain_host", "undrain_host"):
            done = inventory.play(playbook, "--limit", name)
            assert done.returncode == 0, told(done)
            assert kafka not in told(done), "it does not stand still"
        assert in_sync(operator)
    with capsys.disabled():
        print(f"\n{name} drained and undrained: a partition acknowledged nothing for {sent.pause:.1f} s")
    assert (sent.refused, *sent.compare(client(operator), "drained")) == (0, 0, 0)
    assert sent.pause < KAFKA_SECONDS


@pytest.mark.chaos
def test_a_broker_that_comes_back_without_its_disk_or_its_service_gets_all_from_the_others(
    operator: OfThree, kafka: str, brokers: Brokers
) -> None:
    make_topic(operator, kafka, "empty")
    with kafka_client.load(client(operator), "empty", RATE) as sent:
        eventually(lambda: len(sent.acknowledged) > RATE, 60, "messages are acknowledged")
        brokers.lose_disk(3)
        time.sleep(5)
        eventually(lambda: in_sync(operator), 180, "what it had it has again")
        before = brokers.identity(2)
        operator.fleet["host1"].docker("service", "rm", f"{brokers.service}-2")
        operator.api("GET", f"{KAFKA}/{kafka}")  # has whoever looks after it at work, who looks for what is missing
        eventually(lambda: brokers.identity(2) not in ("", before), 120, "there is another service")
        eventually(lambda: in_sync(operator), 180, "it has all again")
    assert (sent.refused, *sent.compare(client(operator), "empty")) == (0, 0, 0)


@pytest.mark.chaos
def test_brokers_on_three_hosts_are_upgraded_one_by_one_and_lose_nothing(
    operator: OfThree, kafka: str, brokers: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    make_topic(operator, kafka, "upgrade")
    with newer(operator, brokers) as image, kafka_client.load(client(operator), "upgrade", RATE) as sent:
        began = time.monotonic()
        operator.api("PUT", f"{KAFKA}/{kafka}/upgrade", json={"version": "4.3"})
        eventually(lambda: brokers.images() == [image] * 3, 500, "all brokers run from the newer image")
        waits = f"{KAFKA}/{kafka}/wait_status"
        eventually(lambda: not operator.api("GET", waits).json()["waiting?"], 120, "the cluster is whole")
        seconds = time.monotonic() - began
        rate = operator.api("GET", f"{KAFKA}/{kafka}").json()["messages_in_per_sec"]
    lost, twice = sent.compare(client(operator), "upgrade")
    with capsys.disabled():
        print(
            f"\nkafka:upgrade on three hosts: {seconds:.0f} s, {len(sent.acknowledged)} acknowledged, {sent.refused} "
            f"refused, {lost} lost, {twice} twice, longest pause {sent.pause:.1f} s"
        )
    assert (lost, twice, sent.refused) == (0, 0, 0)
    assert RATE / 2 < rate < RATE * 2, "of all brokers, over the last minute"


@pytest.mark.chaos
def test_brokers_on_other_hosts_go_on_without_the_platform(
    operator: OfThree, kafka: str, brokers: Brokers, capsys: pytest.CaptureFixture[str]
) -> None:
    make_topic(operator, kafka, "alone")
    mine, host = client(operator), brokers.host(1)
    with kafka_client.load(mine, "alone", RATE) as sent:
        eventually(lambda: len(sent.acknowledged) > 5 * RATE, 60, "messages are acknowledged")
        host.kill()
        time.sleep(AWAY_SECONDS)
        host.boot()
        let_in(host)
        eventually(lambda: in_sync(operator), 300, "the host is back, and all replicas are in sync")
    lost, twice = sent.compare(mine, "alone")
    with capsys.disabled():
        print(
            f"\n{host.name}, the platform's, lost: a partition acknowledged nothing for {sent.pause:.1f} s; "
            f"{len(sent.acknowledged)} acknowledged, {sent.refused} refused, {lost} lost, {twice} twice"
        )
    assert (lost, twice, sent.refused) == (0, 0, 0)
    assert sent.pause < KAFKA_SECONDS


def test_nothing_of_a_destroyed_kafka_is_left_on_any_host(operator: OfThree, kafka: str, brokers: Brokers) -> None:
    operator.api("DELETE", f"/apps/{APP}/addons/{kafka}")
    eventually(lambda: not brokers.left(kafka), 180, "nothing is left")


def test_a_purge_takes_what_databases_have_on_all_hosts(operator: OfThree, app: str) -> None:
    provisioned(operator, "premium-0")
    provisioned(operator, "standard-0", service="heroku-kafka", config={"brokers": "3"})
    gone = operator.dynoform("down", "--purge", "--yes")
    assert gone.code == 0, f"{gone.out}\n{gone.err}"
    own = ("volume", "ls", "--quiet", "--filter", "name=_addon-")
    volumes = {host.name: host.docker(*own) for host in operator.fleet.hosts.values()}
    assert volumes == dict.fromkeys(HOSTS, ""), gone.err
