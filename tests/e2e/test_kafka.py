"""Kafka as an add-on, by the real CLI with its plugin, on the running platform: from nothing to nothing."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaException

from tests import kafka_client
from tests.e2e.conftest import STACK, Platform, eventually
from tests.e2e.test_databases import left_behind, resident
from tests.heroku_cli import HerokuCLI
from tests.kafka_client import join, receive, send, settings, topics

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APPS = ("kafka-test", "kafka-other")
FROM_A_DYNO = """
import json, os, socket, ssl, urllib.parse
told = json.loads(bytes.fromhex(os.environ['TOLD']))
for name in ('CLIENT_CERT', 'CLIENT_CERT_KEY'):
    open('/tmp/' + name, 'w').write(told['KAFKA_' + name])
url = urllib.parse.urlsplit(told['KAFKA_URL'].split(',')[0])
context = ssl.create_default_context(cadata=told['KAFKA_TRUSTED_CERT'])
context.load_cert_chain('/tmp/CLIENT_CERT', '/tmp/CLIENT_CERT_KEY')
plain = socket.create_connection((url.hostname, url.port), 10)
with context.wrap_socket(plain, server_hostname=url.hostname) as broker:
    broker.sendall(bytes.fromhex('0000000a 0012 0000 0000002a 0000'))
    print('answered request', int.from_bytes(broker.recv(8)[4:], 'big'))
"""
"""The handshake, and Kafka's ApiVersions request: an app without packages has no client library. ``run -e`` takes no
line breaks, so the config vars come in hexadecimal.
"""


@pytest.fixture(scope="module")
def apps(cli: HerokuCLI) -> Iterator[tuple[str, ...]]:
    """Two apps without code."""
    for app in APPS:
        cli(f"create {app}")
    yield APPS
    for app in APPS:
        cli(f"apps:destroy -a {app} --confirm {app}", seconds=180)


@pytest.fixture
def heroku(cli: HerokuCLI, apps: tuple[str, ...]) -> HerokuCLI:
    cli.ran.clear()
    return cli


def config(platform: Platform, app: str) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{app}/config-vars").raise_for_status().json())


def brokers(platform: Platform) -> dict[int, Any]:
    """The running containers of all clusters' brokers, by the number in their cluster."""
    filters = {"label": [f"dynoform.stack={STACK}"], "status": "running"}
    found = platform.engine.containers.list(filters={"status": filters["status"]}, ignore_removed=True)
    names = {each: str(each.labels.get("com.docker.swarm.service.name", "")) for each in found}
    mine = {each: name for each, name in names.items() if name.startswith(f"{STACK}_addon-")}
    return {int(name.rpartition("-")[2]): each for each, name in mine.items() if name[-2] == "-"}


def refusal(client: dict[str, Any], topic: str) -> str:
    """Why a message is not taken."""
    with pytest.raises(KafkaException) as refused:
        send(client, topic, "stray")
    return str(refused.value)


def shuts_out(client: dict[str, Any]) -> bool:
    """Whether a client is not even let in."""
    try:
        topics(client)
    except KafkaException:
        return True
    return False


def without_encryption(address: tuple[str, int]) -> bytes:
    """What a broker answers to Kafka's protocol in clear text."""
    with socket.create_connection(address, 10) as plain:
        plain.sendall(bytes.fromhex("0000000a001200000000002a0000"))
        plain.settimeout(10)
        try:
            return plain.recv(100)
        except ConnectionResetError:
            return b""


@pytest.mark.chaos
def test_a_cluster_of_three_brokers_from_nothing_to_nothing(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    app, other = APPS
    began = time.monotonic()
    heroku(f"addons:create heroku-kafka:standard-0 -a {app} --wait -- --brokers 3", seconds=240)
    seconds = time.monotonic() - began
    time.sleep(5)
    sizes = {number: resident(each) for number, each in sorted(brokers(platform).items())}
    with capsys.disabled():
        print(f"\nstandard-0, 3 brokers: {seconds:.1f} s by the CLI, {sizes} MiB at rest")
    assert len(sizes) == 3
    assert max(sizes.values()) < 400
    found = config(platform, app)
    mine = settings(found)
    heroku(f"kafka:wait -a {app}")
    heroku(f"kafka:topics:create orders -a {app} --partitions 3")
    shown = heroku(f"kafka:topics:info orders -a {app}").text
    assert "Partitions: 3 partitions Replication Factor: 3" in shown and "Retention: 24 hours" in shown
    send(mine, "orders", *(f"order {number}" for number in range(30)))
    assert sorted(receive(mine, "orders", 30)) == sorted(f"order {number}" for number in range(30))
    assert join(mine, "orders", "readers").startswith("order ")
    assert ["readers"] in heroku(f"kafka:consumer-groups -a {app}").table
    info = heroku(f"kafka:info -a {app}").text
    assert "Status: available Version: 4.3.1" in info and "3 / 12000 partition replica" not in info
    assert "9 / 12000 partition replicas" in info and "1 topic, see heroku kafka:topics" in info

    # Compressed messages are unpacked by the brokers.
    for kind in ("gzip", "snappy", "lz4", "zstd"):
        send({**mine, "compression.type": kind}, "orders", *["x" * 1000] * 20)

    # What is changed is so in the cluster.
    heroku(f"kafka:topics:retention-time orders 2d -a {app}")
    heroku(f"kafka:topics:compaction orders enable -a {app}")
    shown = heroku(f"kafka:topics:info orders -a {app}").text
    assert "Retention: 2 days" in shown and "Compaction is enabled for orders" in shown
    heroku(f"kafka:topics:create single -a {app} --partitions 1 --replication-factor 1")
    heroku(f"kafka:topics:replication-factor single 3 -a {app}")
    eventually(
        lambda: "Replication Factor: 3" in heroku(f"kafka:topics:info single -a {app}").text, 30, "three replicas"
    )

    # Nobody else gets in: without encryption, without a certificate, with another cluster's or the stack's.
    host, port = found["KAFKA_URL"].split(",")[0].removeprefix("kafka+ssl://").split(":")
    assert b"\x00\x00\x00\x2a" not in without_encryption((host, int(port)))
    assert shuts_out({key: value for key, value in mine.items() if "certificate" not in key and "key" not in key})
    heroku(f"addons:create heroku-kafka:standard-0 -a {other} --wait", seconds=240)
    theirs = settings(config(platform, other))
    assert shuts_out({**mine, **{name: theirs[name] for name in ("ssl.certificate.pem", "ssl.key.pem")}})
    trusting = ssl.create_default_context(cafile=platform.environment["DYNOFORM_CA"])
    with socket.create_connection((host, int(port)), 10) as plain, pytest.raises(ssl.SSLError):
        trusting.wrap_socket(plain, server_hostname=host)
    heroku(f"addons:destroy heroku-kafka -a {other} --confirm {other}", seconds=180)

    # From a dyno.
    told = json.dumps(found).encode().hex()
    dyno = f'run -a python --no-tty --exit-code -e TOLD={told} -- python3 -c "{FROM_A_DYNO}"'
    assert "answered request 42" in heroku(dyno).text

    # A broker is killed, and what was sent is there, once.
    before = {number: each.id for number, each in brokers(platform).items()}
    heroku(f"kafka:topics:create load -a {app} --partitions 3")
    with kafka_client.load(mine, "load", 200) as sent:
        time.sleep(2)
        killed = heroku(f"kafka:fail -a {app} --confirm {app}").text
        number = int(killed.partition("Broker ")[2][0])

        def is_back() -> bool:
            found = brokers(platform).get(number)
            return found is not None and found.id != before[number]

        eventually(is_back, 60, "the broker is back")
        time.sleep(5)
    assert sent.refused == 0 and len(sent.acknowledged) > 500
    assert sent.compare(mine, "load") == (0, 0), "lost, or there twice"
    with capsys.disabled():
        print(f"broker {number} killed: {len(sent.acknowledged)} acknowledged, pause {sent.pause:.1f} s")
    eventually(lambda: "Status: available Version" in heroku(f"kafka:info -a {app}").text, 60, "all brokers are there")

    # Another certificate, while both work.
    heroku(f"kafka:credentials --reset -a {app}")
    rotated = settings(config(platform, app))
    assert rotated["ssl.certificate.pem"] != mine["ssl.certificate.pem"]
    for each in (mine, rotated):
        send(each, "single", "from both")
    assert receive(rotated, "single", 2) == ["from both"] * 2

    # Brought up to date one after the other, with nothing refused.
    heroku(f"kafka:upgrade --version 4.3 -a {app} --confirm {app}")
    heroku(f"kafka:wait -a {app}", seconds=240)
    heroku(f"kafka:topics:destroy orders -a {app} --confirm {app}")
    eventually(lambda: "orders" not in topics(rotated), 30, "the topic is gone")
    assert topics(rotated) >= {"single"}
    heroku(f"addons:destroy heroku-kafka -a {app} --confirm {app}", seconds=180)
    eventually(lambda: not left_behind(platform), 120, "nothing of the cluster is left")
    assert config(platform, app) == {}


def test_tenants_of_one_cluster_see_nothing_of_each_other(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = APPS
    began = time.monotonic()
    heroku(f"addons:create heroku-kafka:basic-0 -a {one} --wait", seconds=240)
    first = time.monotonic() - began
    began = time.monotonic()
    heroku(f"addons:create heroku-kafka:basic-0 -a {other} --wait", seconds=240)
    with capsys.disabled():
        print(f"\nbasic-0: the first {first:.1f} s by the CLI, the second {time.monotonic() - began:.1f} s")
    assert len(brokers(platform)) == 1, "one cluster for both"
    found, others = (config(platform, app) for app in APPS)
    mine, theirs, prefix = settings(found), settings(others), found["KAFKA_PREFIX"]
    for app in APPS:
        heroku(f"kafka:topics:create orders -a {app} --partitions 1")
    eventually(lambda: topics(mine) == {f"{prefix}orders"}, 30, "the one sees its topic")
    eventually(lambda: topics(theirs) == {f"{others['KAFKA_PREFIX']}orders"}, 30, "the other sees its own")
    send(mine, f"{prefix}orders", "secret")

    # By name, too: neither read nor written; nor a topic made, nor another's group joined.
    assert "authorization" in refusal(theirs, f"{prefix}orders").lower()
    with pytest.raises(KafkaException, match=r"(?i)authorization|unknown topic"):
        receive(theirs, f"{prefix}orders", 1, group=f"{others['KAFKA_PREFIX']}g")
    assert "authorization" in refusal(mine, "made-up").lower()
    heroku(f"kafka:consumer-groups:create readers -a {one}")
    assert join(mine, f"{prefix}orders", f"{prefix}readers") == "secret"
    for group in (f"{prefix}other", f"{others['KAFKA_PREFIX']}readers", "readers"):
        with pytest.raises(KafkaException, match=r"(?i)group authorization failed"):
            join(mine, f"{prefix}orders", group)
    assert ["readers"] in heroku(f"kafka:consumer-groups -a {one}").table
    assert ["readers"] not in heroku(f"kafka:consumer-groups -a {other}").table

    # More than the plan's 64 kB a second is slowed down, not refused.
    began = time.monotonic()
    send({**mine, "linger.ms": 0, "batch.size": 20_000}, f"{prefix}orders", *["x" * 10_000] * 120)
    assert time.monotonic() - began > 5, "1.2 MB came in faster than its plan allows"

    heroku(f"addons:destroy heroku-kafka -a {one} --confirm {one}", seconds=180)
    eventually(lambda: topics(theirs) == {f"{others['KAFKA_PREFIX']}orders"}, 30, "the other's topic is untouched")
    eventually(lambda: topics(mine) == set(), 30, "whoever is gone may do nothing")
    heroku(f"addons:destroy heroku-kafka -a {other} --confirm {other}", seconds=180)
    eventually(lambda: not left_behind(platform), 120, "the shared cluster went with its last tenant")
