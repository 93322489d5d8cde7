"""A newer image of Kafka, Redis and PostgreSQL comes to their members one by one, while clients write."""

import contextlib
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests import kafka_client
from tests.acknowledged import Writer
from tests.e2e.conftest import STACK, Platform, eventually
from tests.redis_client import ask, writing
from tests.redis_group import Group
from tests.standby import Servers

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(900)]
APP = "upgrade-test"
RATE = 5000
PARTS = 6
"""Of a premium database: two servers, three members of etcd, and what has its address."""
BEFORE, AFTER = 5.0, 5.0


@pytest.fixture
def app(platform: Platform) -> Iterator[str]:
    """An app without code."""
    platform.api.post("/apps", json={"name": APP}).raise_for_status()
    yield APP
    platform.api.delete(f"/apps/{APP}").raise_for_status()


def made(platform: Platform, plan: str, var: str, **options: str) -> tuple[str, dict[str, str]]:
    """A new add-on's id, and its config vars once they are there."""
    with contextlib.suppress(Exception):  # it may take longer than a request
        platform.api.post(f"/apps/{APP}/addons", json={"plan": plan, "config": options})

    def config() -> dict[str, str]:
        return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())

    eventually(lambda: var in config(), 240, f"{plan} is there")
    (addon,) = platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
    return str(addon["id"]), config()


@contextlib.contextmanager
def newer(platform: Platform, noun: str) -> Iterator[str]:
    """The process of databases takes the image for another one by this name for the length of the block."""
    service, variable = f"{STACK}_databases", f"DYNOFORM_{noun.upper().replace('-', '_')}_IMAGE"
    (found,) = platform.engine.services.list(filters={"name": service})
    spec = found.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]
    told = dict(each.split("=", 1) for each in spec["Env"])
    present, name = told[variable], f"dynoform/{noun}:newer"
    platform.engine.images.get(present).tag(f"dynoform/{noun}", "newer")
    update = ["docker", "service", "update", "--quiet", "--no-resolve-image", "--env-add"]
    subprocess.run([*update, f"{variable}={name}", service], check=True, timeout=120)
    try:
        yield name
    finally:
        subprocess.run([*update, f"{variable}={present}", service], check=True, timeout=120)


def images(platform: Platform, addon: str) -> list[str]:
    """What the members of an add-on run from, in order."""
    found = platform.engine.services.list(filters={"label": f"dynoform.addon={addon}"})
    named = {each.name: each.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] for each in found}
    return [named[name] for name in sorted(named) if name.rpartition("-")[2] in "123"]


def test_brokers_are_upgraded_one_by_one_and_lose_nothing(
    platform: Platform, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    addon, config = made(platform, "heroku-kafka:standard-0", "KAFKA_URL", brokers="3")
    cluster, client = f"/data/kafka/v0/clusters/{addon}", kafka_client.settings(config)
    topic = {"topic": {"name": "load", "partition_count": "6", "retention_time_ms": 86_400_000}}
    platform.api.post(f"{cluster}/topics", json=topic).raise_for_status()
    began = time.monotonic()
    with newer(platform, "kafka") as image, kafka_client.load(client, "load", RATE) as found:
        time.sleep(BEFORE)
        platform.api.put(f"{cluster}/upgrade", json={"version": "4.3"}).raise_for_status()
        eventually(lambda: images(platform, addon) == [image] * 3, 400, "all brokers run from the newer image")
        eventually(lambda: not waits(platform, f"{cluster}/wait_status"), 120, "the cluster is whole")
        time.sleep(AFTER)
        seconds = time.monotonic() - began
    lost, twice = found.compare(client, "load")
    with capsys.disabled():
        print(
            f"\nkafka:upgrade of three brokers under {RATE} messages/s: {seconds:.0f} s, {len(found.acknowledged)} "
            f"acknowledged, {found.refused} refused, {lost} lost, {twice} twice, longest pause {found.pause:.2f} s"
        )
    assert (lost, twice, found.refused) == (0, 0, 0)


def test_members_of_a_redis_are_upgraded_one_by_one_and_lose_nothing(
    platform: Platform, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    addon, config = made(platform, "heroku-redis:premium-0", "REDIS_URL")
    url, trust = config["REDIS_URL"], platform.trust
    group = Group(platform.engine, f"{STACK}_addon-{addon}")
    group.wait()
    with newer(platform, "valkey") as image, writing(url, trust, "history") as found:
        time.sleep(BEFORE)
        began = time.monotonic()
        platform.api.post(f"/redis/v0/databases/{addon}/upgrade", json={"version": "8"}).raise_for_status()
        eventually(lambda: images(platform, addon) == [image] * 3, 400, "all members run from the newer image")
        eventually(lambda: not waits(platform, f"/redis/v0/databases/{addon}/wait"), 120, "the group is whole")
        time.sleep(AFTER)
    lost, twice = found.compare(url, trust)
    with capsys.disabled():
        print(
            f"\nredis:upgrade of three members: {found.ended - began:.0f} s, {len(found.acknowledged)} acknowledged, "
            f"{lost} lost, nothing acknowledged for {found.outage(began):.2f} s"
        )
    assert (lost, twice) == (0, 0)
    assert group.wait() and ask(url, trust, "PING") == "PONG"


def test_a_database_is_patched_server_by_server_by_a_worker_that_is_killed_half_way(
    platform: Platform, app: str, capsys: pytest.CaptureFixture[str]
) -> None:
    addon, config = made(platform, "heroku-postgresql:premium-0", "DATABASE_URL")
    servers = Servers(platform.engine, f"{STACK}_addon-{addon}")
    servers.wait_ready(180)
    path = f"/data/maintenances/v1/{addon}"
    with newer(platform, "postgres-ha") as image, Writer(config["DATABASE_URL"]) as writer:
        time.sleep(BEFORE)
        began = time.monotonic()
        platform.api.post(f"{path}/run").raise_for_status()
        eventually(lambda: 0 < images_of_all(platform, addon).count(image) < PARTS, 120, "it is half-way")
        (worker,) = platform.engine.containers.list(
            filters={"label": f"com.docker.swarm.service.name={STACK}_databases"}, ignore_removed=True
        )
        worker.kill()
        eventually(
            lambda: images_of_all(platform, addon) == [image] * PARTS, 400, "all of it runs from the newer image"
        )
        eventually(lambda: platform.api.get(path).json()["status"] == "completed", 120, "the maintenance has ended")
        servers.wait_ready(120)
        time.sleep(AFTER)
        seconds = time.monotonic() - began
    found, outage = writer.compare(), writer.outage(began)
    with capsys.disabled():
        print(
            f"\nmaintenance of a premium database, its worker killed half-way: {seconds:.0f} s, {found.acknowledged} "
            f"acknowledged, lost {found.lost}, stale {found.stale}, nothing acknowledged for {outage:.1f} s"
        )
    assert (found.lost, found.stale) == ([], [])
    assert outage < 15


def images_of_all(platform: Platform, addon: str) -> list[str]:
    """What each part of an add-on runs from."""
    found = platform.engine.services.list(filters={"label": f"dynoform.addon={addon}"})
    return [each.attrs["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] for each in found]


def waits(platform: Platform, path: str) -> bool:
    return bool(platform.api.get(path).raise_for_status().json()["waiting?"])
