"""What the provider of Kafka has made, and what it has the brokers do; brokers are in the end-to-end tests."""

import json
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from sqlalchemy import select

from dynoform.addons.databases import Place
from dynoform.addons.kafka import KafkaProvider
from dynoform.addons.provider import RefusedError, Resource
from dynoform.configuration import Configuration
from dynoform.domain import addons, data_services, kafka
from dynoform.domain.data_hosts import DataHost
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store import accounts, databases
from dynoform.store import kafka as store_kafka
from dynoform.store.addon_services import find_plan, register_own
from dynoform.store.addons import create, save_config
from dynoform.store.apps import create_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Addon, AddonChange, DatabaseCredential, KafkaCluster, LeftVolume, now
from tests.local_databases import Made
from tests.scripted_kafka import ScriptedKafka
from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]
Order = Callable[..., Resource]


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def brokers(made: Made) -> ScriptedKafka:
    return ScriptedKafka(made)


@pytest.fixture
def provider(configuration: Configuration, store: Store, brokers: ScriptedKafka, made: Made) -> KafkaProvider:
    vault = Vault(configuration.secret("encryption_key"))
    return KafkaProvider(Place(configuration, store, vault, brokers, made))


@pytest.fixture
def order(configuration: Configuration, store: Store) -> Order:
    """Orders an add-on; gives it as the worker has it."""
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        register_own(session, vault)
        account = accounts.ensure_operator(session, "ann@example.com", "key")
        app, _ = create_app(session, vault, account, "myapp", "dynoform-13")

    def ordered(plan: str = "standard-0", **options: str) -> Resource:
        with store.transaction() as session:
            found = find_plan(session, f"heroku-kafka:{plan}")
            assert found is not None
            addon, change = create(session, vault, app, found, account)
            addon.state = addons.PROVISIONED
            change.status = addons.SUCCEEDED
            return Resource(
                addon.id, addon.name, "heroku-kafka", plan, "dynoform::local", "", app.id, options, change_id=change.id
            )

    return ordered


def ask(provider: KafkaProvider, wanted: Resource, operation: str, **details: Any) -> Any:
    return provider.operate(wanted, operation, details)


def configure(provider: KafkaProvider, wanted: Resource, do: str, **on: Any) -> None:
    ask(provider, wanted, data_services.CONFIGURE, do=do, on=on)


def tell(store: Store, provider: KafkaProvider, wanted: Resource, config: dict[str, str]) -> None:
    """Have the add-on's apps have what the provider answered, as the worker does."""
    with store.transaction() as session:
        save_config(session, provider._place.vault, session.get_one(Addon, wanted.uuid), config)


def end(store: Store) -> None:
    """Have the time of all users be over that were rotated."""
    with store.transaction() as session:
        for each in session.scalars(select(DatabaseCredential).where(DatabaseCredential.ends_at.is_not(None))):
            each.ends_at = now() - timedelta(seconds=1)


def named(certificate: str) -> str:
    return x509.load_pem_x509_certificate(certificate.encode()).subject.rfc4514_string()


def test_a_cluster_of_ones_own_has_its_ports_its_authority_and_a_user_who_may_all(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    brokers.published = {15001}
    wanted = order("standard-0", brokers="3")
    answer = provider.provision(wanted)
    config = answer.config or {}
    (told,) = made.instances.values()
    assert told["ports"] == [[15000, 15002], [15003, 15004], [15005, 15006]]
    assert (told["service"], told["addon"], told["memory_mib"]) == ("heroku-kafka", str(wanted.uuid), 512)
    assert config["KAFKA_URL"].count("kafka+ssl://") == 3 and config["KAFKA_URL"].endswith(":15005")
    assert "KAFKA_PREFIX" not in config
    assert config["KAFKA_TRUSTED_CERT"] == told["authority"]["cert_pem"]
    assert brokers.waited == [(f"local_addon-{wanted.uuid}-1", ["/opt/dynoform/kafka-admin", "ready", "3"])]
    (users,) = brokers.did("users")
    assert (users["prefix"], users["gone"], users["quotas"]) == ("", [], {})
    assert [f"CN={each}" for each in users["users"]] == [named(config["KAFKA_CLIENT_CERT"])]
    # Asked again, after a kill: the same.
    assert provider.provision(wanted).config == config


def test_tenants_share_one_cluster_and_the_last_one_takes_it_along(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made, store: Store
) -> None:
    one, other = order("basic-0"), order("basic-1")
    first, second = (provider.provision(each).config or {} for each in (one, other))
    assert [*made.instances] == [str(store_kafka.SHARED)]
    assert first["KAFKA_URL"] == second["KAFKA_URL"]
    assert first["KAFKA_PREFIX"] != second["KAFKA_PREFIX"]
    assert first["KAFKA_CLIENT_CERT"] != second["KAFKA_CLIENT_CERT"]
    assert [each["quotas"]["producer_byte_rate"] for each in brokers.did("users")] == [65_536, 524_288]
    assert len(made.told) == 1, "the second one found it answering"
    configure(provider, one, kafka.CREATE_TOPIC, name="orders", retention_time_ms=kafka.DAY_MS)
    assert [*brokers.topics] == [f"{first['KAFKA_PREFIX']}orders"]

    provider.deprovision(one)
    assert brokers.topics == {} and [*made.instances] == [str(store_kafka.SHARED)]
    assert brokers.did("wipe")[0]["prefix"] == first["KAFKA_PREFIX"]
    with store.transaction() as session:
        session.get_one(Addon, one.uuid).state = addons.DEPROVISIONED
    provider.deprovision(other)
    assert made.instances == {}
    with store.transaction() as session:
        assert session.scalars(select(KafkaCluster)).all() == []


def test_a_shared_cluster_that_does_not_answer_is_made(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    brokers.away = {"-1"}
    with pytest.raises(UnavailableError, match="has no running container"):
        provider.provision(order("basic-0"))
    assert [*made.instances] == [str(store_kafka.SHARED)]
    assert brokers.waited[0][1] == ["/opt/dynoform/kafka-admin", "ready", "1"]


def test_a_rotation_has_two_users_until_the_old_one_ends(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, store: Store
) -> None:
    wanted = order()
    old = (provider.provision(wanted).config or {})["KAFKA_CLIENT_CERT"]
    rotated = ask(provider, wanted, data_services.ROTATE).config
    tell(store, provider, wanted, rotated)
    new = rotated["KAFKA_CLIENT_CERT"]
    users = [named(each).removeprefix("CN=") for each in (old, new)]
    assert users[0] != users[1]
    assert brokers.did("users")[-1]["users"] == users
    end(store)
    with store.transaction() as session:
        assert store_kafka.enqueue_due(session) == 1
    assert ask(provider, wanted, data_services.MAINTAIN).config == rotated
    last = brokers.did("users")[-1]
    assert (last["users"], last["gone"]) == ([users[1]], [users[0]])
    with store.transaction() as session:
        assert [each.username for each in session.scalars(select(DatabaseCredential))] == [users[1]]


def test_a_rotation_that_failed_halfway_reaches_the_app_before_the_old_user_ends(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, store: Store
) -> None:
    wanted = order()
    before = provider.provision(wanted).config or {}
    tell(store, provider, wanted, before)
    brokers.away = {"-1"}
    with pytest.raises(UnavailableError, match="has no running container"):
        ask(provider, wanted, data_services.ROTATE)
    end(store)
    brokers.away = set()
    old = named(before["KAFKA_CLIENT_CERT"]).removeprefix("CN=")
    for details in ({}, {"old": True}):
        found = ask(provider, wanted, data_services.MAINTAIN, **details).config
        new = named(found["KAFKA_CLIENT_CERT"]).removeprefix("CN=")
        assert new != old
        assert brokers.did("users")[-1] | {"users": [new], "gone": []} == brokers.did("users")[-1]
    tell(store, provider, wanted, found)
    assert ask(provider, wanted, data_services.MAINTAIN).config == found, "which is no release, as it is nothing new"
    assert brokers.did("users")[-1]["gone"] == [old]
    with store.transaction() as session:
        assert [each.username for each in session.scalars(select(DatabaseCredential))] == [new]


def test_a_forced_rotation_ends_the_old_user_at_once(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    wanted = order()
    provider.provision(wanted)
    ask(provider, wanted, data_services.ROTATE, forced=True)
    first, last = brokers.did("users")[0], brokers.did("users")[-1]
    assert last["gone"] == first["users"] and set(last["users"]).isdisjoint(first["users"])


def test_what_is_found_out_is_the_sum_of_what_the_brokers_say(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    wanted = order("standard-0", brokers="3")
    provider.provision(wanted)
    configure(provider, wanted, kafka.CREATE_TOPIC, name="orders", retention_time_ms=kafka.DAY_MS)
    brokers.away = {"-1"}
    told = ask(provider, wanted, data_services.INSPECT).result
    assert (told["brokers"], told["nodes"], told["version"], told["bytes"]) == (2, 3, "4.3.1", 1000)
    assert told["topics"] == [
        {
            "name": "orders", "partitions": 32, "replication_factor": 3, "replicas": 96,
            "cleanup_policy": "delete", "retention_ms": 86_400_000, "messages_in_per_second": 3.0,
            "bytes_in_per_second": 4096.0, "bytes_out_per_second": 0.0,
        }
    ]  # fmt: skip


def test_a_change_that_comes_again_finds_what_it_made(provider: KafkaProvider, order: Order) -> None:
    wanted = order()
    provider.provision(wanted)
    topic = {"name": "orders", "retention_time_ms": kafka.DAY_MS}
    configure(provider, wanted, kafka.CREATE_TOPIC, **topic)
    with pytest.raises(RefusedError, match="Topic orders already exists"):
        configure(provider, wanted, kafka.CREATE_TOPIC, **topic)
    again = Resource(**{**wanted.__dict__, "attempt": 2})
    configure(provider, again, kafka.CREATE_TOPIC, **topic)
    configure(provider, wanted, kafka.DELETE_TOPIC, name="orders")
    with pytest.raises(RefusedError, match="Topic orders does not exist"):
        configure(provider, wanted, kafka.DELETE_TOPIC, name="orders")
    configure(provider, again, kafka.DELETE_TOPIC, name="orders")
    with pytest.raises(RefusedError, match="Topic orders does not exist"):
        configure(provider, again, kafka.ALTER_TOPIC, **topic)


def test_groups_are_made_for_tenants_alone(provider: KafkaProvider, order: Order, brokers: ScriptedKafka) -> None:
    tenant, own = order("basic-0"), order()
    prefix = (provider.provision(tenant).config or {})["KAFKA_PREFIX"]
    provider.provision(own)
    configure(provider, tenant, kafka.CREATE_GROUP, name="readers")
    assert brokers.groups == {f"{prefix}readers"}
    assert brokers.did("create_group")[0]["users"] == brokers.did("users")[0]["users"]
    with pytest.raises(RefusedError, match="not required or enabled on dedicated clusters"):
        configure(provider, own, kafka.CREATE_GROUP, name="readers")


def test_another_tenants_topic_is_out_of_reach_by_any_name(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    one, other = order("basic-0"), order("basic-0")
    prefix = (provider.provision(one).config or {})["KAFKA_PREFIX"]
    provider.provision(other)
    configure(provider, one, kafka.CREATE_TOPIC, name="orders", retention_time_ms=kafka.DAY_MS)
    with pytest.raises(RefusedError, match="does not exist"):
        configure(provider, other, kafka.DELETE_TOPIC, name=f"{prefix}orders")
    assert [*brokers.topics] == [f"{prefix}orders"]
    assert ask(provider, other, data_services.INSPECT).result["topics"] == []


def test_a_broker_is_killed_on_demand_but_not_one_that_others_use(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    own, tenant = order("standard-0", brokers="3"), order("basic-0")
    provider.provision(own)
    number = ask(provider, own, data_services.FAIL).result["broker"]
    assert brokers.killed == [f"local_addon-{own.uuid}-{number}"]
    provider.provision(tenant)
    with pytest.raises(RefusedError, match="A cluster that others use, too, cannot be made to fail"):
        ask(provider, tenant, data_services.FAIL)
    with pytest.raises(RefusedError, match="heroku-kafka cannot do reset"):
        ask(provider, own, data_services.RESET)


def test_another_plan_brings_other_limits_but_moves_no_messages(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    tenant, own = order("basic-0"), order()
    provider.provision(tenant)
    provider.provision(own)
    provider.change_plan(Resource(**{**tenant.__dict__, "plan": "basic-2"}))
    assert brokers.did("users")[-1]["quotas"]["producer_byte_rate"] == 4 * 1024 * 1024
    for each, plan in ((tenant, "standard-0"), (own, "basic-0")):
        with pytest.raises(RefusedError, match="make another add-on"):
            provider.change_plan(Resource(**{**each.__dict__, "plan": plan}))


def test_a_wrong_option_is_refused_before_anything_is_made(provider: KafkaProvider, order: Order, made: Made) -> None:
    with pytest.raises(InvalidInputError, match="brokers must be 1 or 3"):
        provider.provision(order("standard-0", brokers="5"))
    assert made.instances == {}


def test_a_lost_cluster_is_made_again_with_its_users_and_the_shared_one_by_one_of_its_tenants(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made, store: Store
) -> None:
    own, tenants = order(), [order("basic-0"), order("basic-1")]
    for each in (own, *tenants):
        provider.provision(each)
    running = {str(own.uuid), str(store_kafka.SHARED)}
    with store.transaction() as session:
        assert store_kafka.enqueue_due(session, running) == 0
        assert store_kafka.enqueue_due(session, set()) == 2
        asked = {each.addon_id: each.details for each in session.scalars(select(AddonChange)) if each.details}
        assert asked.pop(own.uuid) == {"lost": True}
        (keeper,) = asked
        assert asked[keeper] == {"lost": True} and keeper in {each.uuid for each in tenants}
        assert store_kafka.enqueue_due(session, set()) == 1, "the other tenant, while one is busy"
    kept = next(each for each in tenants if each.uuid == keeper)
    granted = brokers.did("users")
    brokers.asked.clear()
    ask(provider, kept, data_services.MAINTAIN, lost=True)
    assert made.again[-1] is True

    def rights(asked: list[dict[str, Any]]) -> set[tuple[str, tuple[str, ...], float]]:
        return {(each["prefix"], tuple(each["users"]), each["quotas"]["producer_byte_rate"]) for each in asked}

    assert rights(brokers.did("users")) == rights([each for each in granted if each["prefix"]]), "all tenants' users"
    brokers.asked.clear()
    ask(provider, own, data_services.MAINTAIN, lost=True)
    assert brokers.did("users") == [each for each in granted if not each["prefix"]]


def test_a_tenant_that_finds_the_shared_cluster_lost_makes_it_for_all(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    provider.provision(order("basic-0"))
    (granted,) = brokers.did("users")
    made.instances.clear()
    brokers.asked.clear()
    provider.provision(order("basic-1"))
    assert len(made.told) == 2
    first, second = brokers.did("users")
    assert first == granted and second["prefix"] != granted["prefix"]


def test_a_lost_cluster_is_made_again_though_somebody_looks_at_it_all_the_time(
    provider: KafkaProvider, order: Order, store: Store
) -> None:
    wanted = order()
    provider.provision(wanted)
    with store.transaction() as session:
        addon = session.get_one(Addon, wanted.uuid)
        databases.ask(session, addon, data_services.INSPECT, addon.account_id)
        assert store_kafka.enqueue_due(session, set()) == 1
        assert store_kafka.enqueue_due(session, set()) == 0, "that is to be done already"


def test_an_old_cluster_is_brought_up_to_date(provider: KafkaProvider, order: Order, made: Made, store: Store) -> None:
    wanted = order()
    provider.provision(wanted)
    with store.transaction() as session:
        session.get_one(KafkaCluster, wanted.uuid).maintained_at = now() - timedelta(days=31)
        assert store_kafka.enqueue_due(session) == 1
    before = len(made.again)
    ask(provider, wanted, data_services.MAINTAIN, old=True)
    assert len(made.again) == before + 1
    with store.transaction() as session:
        assert store_kafka.enqueue_due(session) == 0


def test_a_new_image_comes_broker_by_broker_and_a_change_that_was_killed_goes_on(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made, configuration: Configuration
) -> None:
    wanted = order("standard-0", brokers="3")
    provider.provision(wanted)
    before, told = len(made.again), made.told
    services = [f"local_addon-{wanted.uuid}-{number}" for number in (1, 2, 3)]
    provider._place = replace(provider._place, configuration=replace(configuration, kafka_image="kafka:2"))
    brokers.images = dict.fromkeys(services, "kafka:1")
    ask(provider, wanted, data_services.MAINTAIN, old=True)
    assert [each["images"] for each in told[before:]] == [
        ["kafka:2", "kafka:1", "kafka:1"], ["kafka:2", "kafka:2", "kafka:1"], ["kafka:2"] * 3,
    ]  # fmt: skip
    assert len(brokers.waited) == 4
    brokers.images[services[0]] = "kafka:2"
    before = len(told)
    ask(provider, wanted, data_services.MAINTAIN, old=True)
    assert [each["images"] for each in told[before:]] == [["kafka:2", "kafka:2", "kafka:1"], ["kafka:2"] * 3]


ONE, TWO, THREE, FOUR = (
    DataHost(name, f"10.0.0.{number}", platform=number == 1, marked=number > 1)
    for number, name in enumerate(("one", "two", "three", "four"), start=1)
)
THREE_HOSTS = [None, ("three", "10.0.0.3"), ("two", "10.0.0.2")]


def test_brokers_are_on_hosts_that_are_marked_each_known_by_its_own_address_and_leave_nothing_there(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made, store: Store
) -> None:
    brokers.hosts = [ONE, TWO, replace(THREE, zone="b")]
    wanted = order("standard-0", brokers="3")
    own = provider._place.configuration.data_address
    urls = (provider.provision(wanted).config or {})["KAFKA_URL"].split(",")
    assert urls == [f"kafka+ssl://{own}:15000", "kafka+ssl://10.0.0.3:15002", "kafka+ssl://10.0.0.2:15004"]
    assert made.told[-1]["hosts"] == THREE_HOSTS
    with store.transaction() as session:
        assert databases.standbys(session) == {"two": 1, "three": 1}
    brokers.hosts = [ONE, TWO, replace(THREE, ready=False), FOUR]
    ask(provider, wanted, data_services.MAINTAIN, old=True)
    assert made.told[-1]["hosts"] == THREE_HOSTS, "they stay where they are"
    provider.deprovision(wanted)
    own = f"local_addon-{wanted.uuid}"
    with store.transaction() as session:
        left = {(each.host, each.name) for each in session.scalars(select(LeftVolume))}
        assert left == {("three", f"{own}-2"), ("two", f"{own}-3")}
        assert databases.standbys(session) == {}


def test_a_single_broker_and_what_tenants_share_are_on_the_platforms_host(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    brokers.hosts = [ONE, TWO, THREE]
    for plan in ("standard-0", "basic-0"):
        provider.provision(order(plan))
        assert "hosts" not in made.told[-1]


def test_programs_are_run_beside_brokers_on_the_platforms_host_alone(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    brokers.hosts = [ONE, TWO, THREE]
    wanted = order("standard-0", brokers="3")
    provider.provision(wanted)
    first = f"local_addon-{wanted.uuid}-1"
    for _ in range(9):
        assert ask(provider, wanted, data_services.FAIL).result == {"broker": 1}
    ask(provider, wanted, data_services.INSPECT)
    assert {service for service, _ in brokers.asked} == {first} == set(brokers.killed)


def test_what_comes_to_brokers_elsewhere_is_told_by_one_and_what_goes_is_counted_beside_each(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka
) -> None:
    brokers.hosts, brokers.rates = [ONE, TWO], {"MessagesInPerSec": 30.0, "BytesOutPerSec": 8.0}
    wanted = order("standard-0", brokers="3")
    provider.provision(wanted)
    configure(provider, wanted, kafka.CREATE_TOPIC, name="orders", retention_time_ms=kafka.DAY_MS)
    (topic,) = ask(provider, wanted, data_services.INSPECT).result["topics"]
    assert brokers.did("describe")[-1]["everywhere"] is True
    assert (topic["messages_in_per_second"], topic["bytes_out_per_second"]) == (30.0, 16.0), "two are beside each other"


def test_what_is_left_of_a_cluster_stays_and_all_that_was_lost_is_where_there_are_hosts(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    brokers.hosts = [ONE, TWO, replace(THREE, zone="b")]
    wanted = order("standard-0", brokers="3")
    before = provider.provision(wanted).config
    assert ask(provider, wanted, data_services.MAINTAIN, lost=True).config == before
    assert (made.told[-1]["hosts"], made.again[-1]) == (THREE_HOSTS, True), "there are those hosts"
    brokers.hosts = [ONE, FOUR]
    brokers.images = {f"local_addon-{wanted.uuid}-1": "kafka:1"}
    ask(provider, wanted, data_services.MAINTAIN, lost=True)
    assert made.told[-1]["hosts"] == THREE_HOSTS, "the others would have nobody to get their data from"
    brokers.images = {}
    brokers.asked.clear()
    found = ask(provider, wanted, data_services.MAINTAIN, lost=True).config
    (users,) = brokers.did("users")
    assert [f"CN={each}" for each in users["users"]] == [named(found["KAFKA_CLIENT_CERT"])]
    assert made.told[-1]["hosts"] == [None, ("four", "10.0.0.4"), None]
    assert "10.0.0.4" in found["KAFKA_URL"] and "10.0.0.3" not in found["KAFKA_URL"]


def test_a_cluster_from_before_stays_where_it_is(
    provider: KafkaProvider, order: Order, brokers: ScriptedKafka, made: Made
) -> None:
    wanted = order("standard-0", brokers="3")
    provider.provision(wanted)
    brokers.hosts = [ONE, TWO, THREE]
    for details in ({"old": True}, {"lost": True}):
        ask(provider, wanted, data_services.MAINTAIN, **details)
        assert "hosts" not in made.told[-1]


def test_nothing_that_is_printed_has_a_key(provider: KafkaProvider, order: Order, store: Store) -> None:
    wanted = order()
    provider.provision(wanted)
    assert "PRIVATE" not in repr(provider._known(wanted))
    with store.transaction() as session:
        found = session.get_one(KafkaCluster, wanted.uuid)
        assert b"PRIVATE" not in found.ciphertext
        assert json.dumps(found.ports) == "[[15000, 15001]]"
        assert isinstance(found.id, uuid.UUID)
