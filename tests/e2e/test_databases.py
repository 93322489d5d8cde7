"""Databases as add-ons, by the real CLI, on the running platform: from nothing to nothing."""

import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from dynoform.cli.running import proportional
from tests.e2e.conftest import STACK, Platform, eventually
from tests.heroku.invocations import covers
from tests.heroku_cli import HerokuCLI

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
APP = "db-test"
ADDON = "dynoform.addon"
FROM_A_DYNO = """
import os, psycopg
with psycopg.connect(os.environ['DATABASE_URL'], sslmode='require', connect_timeout=30) as database:
    ssl = database.execute('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()').fetchone()
    print('found', database.execute('SELECT answer FROM kept').fetchone()[0], 'encrypted', ssl[0])
"""
REDIS_FROM_A_DYNO = """
import os, socket, ssl, urllib.parse
url = urllib.parse.urlsplit(os.environ['REDIS_URL'])
context = ssl._create_unverified_context()
with context.wrap_socket(socket.create_connection((url.hostname, url.port), 10)) as server:
    server.sendall(f'AUTH {url.password}\\r\\nGET kept\\r\\n'.encode())
    answer = b''
    while b'42' not in answer and b'ERR' not in answer:
        answer += server.recv(100)
print('answer', answer)
"""


@pytest.fixture(scope="module")
def app(cli: HerokuCLI, platform: Platform) -> Iterator[str]:
    """An app without code."""
    cli(f"create {APP}")
    yield APP
    cli(f"apps:destroy -a {APP} --confirm {APP}")


@pytest.fixture
def heroku(cli: HerokuCLI, app: str) -> HerokuCLI:
    cli.ran.clear()
    return cli


def config(platform: Platform) -> dict[str, str]:
    return dict(platform.api.get(f"/apps/{APP}/config-vars").raise_for_status().json())


def addon(platform: Platform, service: str) -> dict[str, Any]:
    """The app's add-on of a service."""
    (found,) = [
        each
        for each in platform.api.get(f"/apps/{APP}/addons").raise_for_status().json()
        if each["addon_service"]["name"] == service
    ]
    return dict(found)


def container(platform: Platform, identifier: str) -> Any:
    """The running container of an add-on; None while there is none."""
    filters = {
        "label": f"com.docker.swarm.service.name={STACK}_addon-{identifier}",
        "status": "running",
    }
    return next(iter(platform.engine.containers.list(filters=filters, ignore_removed=True)), None)


def connect(url: str, **more: Any) -> "psycopg.Connection[tuple[Any, ...]]":
    """From the operator's machine, without a pause."""
    return psycopg.connect(url, autocommit=True, connect_timeout=30, **more)


def refusal(url: str, **more: Any) -> str:
    """Why a connection is refused."""
    with pytest.raises(psycopg.OperationalError) as refused:
        connect(url, **more)
    return str(refused.value)


def answers(url: str) -> bool:
    try:
        connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


def resident(found: Any) -> float:
    """MiB that a container's processes have, by their proportional shares, as ``status`` counts them."""
    pids = [int(row[1]) for row in found.top(ps_args="-eo user,pid")["Processes"]]
    return sum(proportional(pid) or 0 for pid in pids) / 2**20


def all_say(heroku: HerokuCLI, lines: Sequence[str], *parts: str) -> list[str]:
    """What commands print, once all of this is in each: while the process of databases is busy, that is not much."""
    seen: list[str] = []

    def are_there() -> bool:
        seen[:] = [ran.text for ran in heroku.each(*lines)]
        return all(part in text for part in parts for text in seen)

    try:
        eventually(are_there, 120, f"{lines} say {parts}")
    except AssertionError as error:
        raise AssertionError(f"{error}; they say:\n{seen}") from None
    return seen


def says(heroku: HerokuCLI, line: str, *parts: str) -> str:
    """The same of one command."""
    return all_say(heroku, [line], *parts)[0]


def left_behind(platform: Platform) -> list[str]:
    """What the engine has of add-ons."""
    api, labels = platform.engine.api, {"label": [f"dynoform.stack={STACK}", ADDON]}
    found = [each["Spec"]["Name"] for each in [*api.services(filters=labels), *api.secrets(filters=labels)]]
    return found + [each["Name"] for each in api.volumes(filters=labels)["Volumes"] or []]


@covers(
    "addons:create heroku-postgresql:essential-0 -a myapp --wait",
    "pg:wait -a myapp",
    "pg:wait DATABASE -a myapp",
    "pg -a myapp",
    "pg:info -a myapp",
    "pg:info DATABASE_URL -a myapp",
    'pg:psql -a myapp -c "select 1"',
    "pg:extensions -a myapp",
    "pg:credentials DATABASE -a myapp",
    "pg:credentials:url DATABASE -a myapp",
    "pg:credentials:rotate DATABASE -a myapp --confirm myapp",
    "pg:killall -a myapp",
    "pg:reset DATABASE -a myapp --confirm myapp",
)
def test_an_essential_postgres_from_nothing_to_nothing(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    heroku(f"addons:create heroku-postgresql:essential-0 -a {APP} --wait")
    seconds = time.monotonic() - began
    made = addon(platform, "heroku-postgresql")
    url = config(platform)["DATABASE_URL"]
    with capsys.disabled():
        print(f"\nessential-0: {seconds:.1f} s by the CLI, {resident(container(platform, made['id'])):.1f} MiB at rest")
    assert urlsplit(url).hostname == "172.29.32.1"
    heroku.each(f"pg:wait -a {APP}", f"pg:wait DATABASE -a {APP}")
    is_well = "Plan: Essential 0 Status: Available Connections: 0/20 PG Version: 17."
    infos = [f"pg -a {APP}", f"pg:info -a {APP}", f"pg:info DATABASE_URL -a {APP}"]
    all_say(heroku, infos, is_well, f"Add-on: {made['name']}")

    # From outside, by psql over TLS, and from a dyno; the certificate is the stack's authority's.
    heroku(f'pg:psql -a {APP} -c "create table kept as select 42 as answer"')
    assert "pg_trgm" in heroku(f"pg:extensions -a {APP}").text
    dyno = ["run", "-a", "python", "--no-tty", "--exit-code", "-e", f"DATABASE_URL={url}", "--", "python3", "-c"]
    ran = heroku(" ".join([*dyno, f'"{FROM_A_DYNO}"']))
    assert "found 42 encrypted True" in ran.text
    trust = {"sslmode": "verify-full", "sslrootcert": platform.environment["DYNOFORM_CA"]}
    with connect(url, **trust) as checked:
        assert checked.execute("SELECT answer FROM kept").fetchone() == (42,)

    # Nobody else gets in.
    parts = urlsplit(url)
    assert "no encryption" in refusal(url, sslmode="disable")
    assert "password authentication failed" in refusal(url.replace(str(parts.password), "p" + "0" * 64))
    assert "pg_hba.conf rejects connection" in refusal(url, user="postgres")

    # The end of the container, and what is in it is there again.
    container(platform, made["id"]).kill()
    eventually(lambda: answers(url), 60, "the database is back")
    with connect(url) as again:
        assert again.execute("SELECT answer FROM kept").fetchone() == (42,)

        # Another password, while both work; then that one alone.
        assert "default" in heroku(f"pg:credentials DATABASE -a {APP}").text
        heroku(f"pg:credentials:rotate DATABASE -a {APP} --confirm {APP}")
        rotated = config(platform)["DATABASE_URL"]
        assert rotated != url
        assert again.execute("SELECT 1").fetchone() == (1,)
        for each in (url, rotated):
            connect(each).close()
        assert rotated in heroku(f"pg:credentials:url DATABASE -a {APP}").text
        heroku(f"pg:credentials:rotate DATABASE -a {APP} --force --confirm {APP}")
        eventually(lambda: not answers(url) and not answers(rotated), 60, "the old passwords are gone")
    newest = config(platform)["DATABASE_URL"]
    with connect(newest) as open_one:
        assert open_one.execute("SELECT answer FROM kept").fetchone() == (42,)
        heroku(f"pg:killall -a {APP}")
        with pytest.raises(psycopg.OperationalError):
            open_one.execute("SELECT 1")
    heroku(f"pg:reset DATABASE -a {APP} --confirm {APP}")
    with connect(newest) as empty:
        assert empty.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)

    # Another database's password is of no use here.
    heroku(f"addons:create heroku-postgresql:essential-0 -a {APP} --wait")
    (other,) = [value for name, value in config(platform).items() if name.startswith("HEROKU_POSTGRESQL_")]
    theirs = urlsplit(other)
    assert theirs.port != parts.port
    assert "password authentication failed" in refusal(newest, user=theirs.username, password=theirs.password)

    for each in platform.api.get(f"/apps/{APP}/addons").raise_for_status().json():
        heroku(f"addons:destroy {each['name']} -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the databases is left")
    assert config(platform) == {}


@covers(
    "redis -a myapp",
    "redis:info -a myapp",
    "redis:info -a myapp --json",
    "redis:wait -a myapp",
    "redis:credentials -a myapp",
    "redis:credentials --reset -a myapp",
    "redis:maxmemory -p noeviction -a myapp",
    "redis:timeout -s 300 -a myapp",
    "redis:cli -a myapp",
)
def test_a_mini_redis_from_nothing_to_nothing(
    heroku: HerokuCLI, platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    heroku(f"addons:create heroku-redis:mini -a {APP} --wait -- --maxmemory_policy allkeys-lru")
    seconds = time.monotonic() - began
    made = addon(platform, "heroku-redis")
    url = config(platform)["REDIS_URL"]
    with capsys.disabled():
        print(f"\nmini: {seconds:.1f} s by the CLI, {resident(container(platform, made['id'])):.1f} MiB at rest")
    assert url.startswith("rediss://:p") and urlsplit(url).hostname == "172.29.32.1"
    heroku(f"redis:wait -a {APP}")
    wanted = "Plan: Mini Status: available", "Version: 8.", "Maxmemory: allkeys-lru"
    all_say(heroku, [f"redis -a {APP}", f"redis:info -a {APP}"], *wanted)
    assert f'"resource_url": "{url}"' in heroku(f"redis:info -a {APP} --json").text
    assert url in heroku(f"redis:credentials -a {APP}").text
    heroku(f"redis:cli -a {APP}", stdin="SET kept 42\n")
    assert "NOPERM" in said(platform, url, f"AUTH {urlsplit(url).password}", "CONFIG GET dir")
    assert "WRONGPASS" in said(platform, url, f"AUTH {'p' + '0' * 64}", "PING")
    dyno = ["run", "-a", "python", "--no-tty", "--exit-code", "-e", f"REDIS_URL={url}", "--", "python3", "-c"]
    assert re.search(r"answer b.*42", heroku(" ".join([*dyno, f'"{REDIS_FROM_A_DYNO}"'])).text)
    with pytest.raises((ssl.SSLError, OSError)):
        said(platform, url, "PING", name="127.0.0.1")

    assert "noeviction" in heroku(f"redis:maxmemory -p noeviction -a {APP}").text
    assert "set to 120 seconds" in heroku(f"redis:timeout -s 120 -a {APP}").text
    assert "set to 'AKE'" in heroku(f"redis:keyspace-notifications -c AKE -a {APP}").text
    time.sleep(1.5)  # longer than what is lost with the power
    container(platform, made["id"]).kill()
    eventually(lambda: lets_in(platform, url), 60, "the store is back")
    heroku(f"redis:credentials --reset -a {APP}")
    rotated = config(platform)["REDIS_URL"]
    assert rotated != url
    assert "42" in heroku(f"redis:cli -a {APP}", stdin="GET kept\n").text
    says(heroku, f"redis:info -a {APP}", "Timeout: 120 Maxmemory: noeviction Keyspace Notifications: AKE")

    heroku(f"addons:destroy {made['name']} -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the store is left")


def lets_in(platform: Platform, url: str) -> bool:
    """Whether a Redis has begun, and has read what it had."""
    try:
        return "+PONG" in said(platform, url, f"AUTH {urlsplit(url).password}", "PING")
    except OSError:
        return False


def said(platform: Platform, url: str, *commands: str, name: str = "") -> str:
    """What the server answers, over TLS that is verified by the authority that `bin/dynoform env` gives."""
    parts = urlsplit(url)
    with (
        socket.create_connection((str(parts.hostname), parts.port or 0), 10) as plain,
        platform.trust.wrap_socket(plain, server_hostname=name or str(parts.hostname)) as server,
    ):
        server.sendall("".join(f"{command}\r\n" for command in [*commands, "QUIT"]).encode())
        return b"".join(iter(lambda: server.recv(4096), b"")).decode()


def worker(platform: Platform) -> Any:
    """The container of the databases' worker, if it runs."""
    filters = {"label": f"com.docker.swarm.service.name={STACK}_databases", "status": "running"}
    return next(iter(platform.engine.containers.list(filters=filters, ignore_removed=True)), None)


@pytest.mark.chaos
def test_a_worker_that_is_killed_while_it_provisions_ends_with_one_database(
    heroku: HerokuCLI, platform: Platform
) -> None:
    """Its lease runs out after a minute; the next one takes Pulumi's lock away, and what was half made."""

    def provisions() -> bool:
        found = worker(platform)
        return found is not None and any(
            " up --yes" in " ".join(row) for row in found.top(ps_args="-efww")["Processes"]
        )

    body = {"plan": "heroku-postgresql:essential-0", "name": "killed-1"}
    with pytest.raises(Exception, match="timed out"):
        platform.api.post(f"/apps/{APP}/addons", json=body, timeout=0.5)
    eventually(provisions, 60, "Pulumi is at work")
    path = f"/apps/{APP}/addons/killed-1"
    labels = {"label": f"{ADDON}={platform.api.get(path).raise_for_status().json()['id']}"}
    eventually(lambda: platform.engine.api.services(filters=labels), 60, "the service was begun")
    worker(platform).kill()
    eventually(
        lambda: platform.api.get(path).raise_for_status().json()["state"] == "provisioned",
        240,
        "another worker has finished it",
    )
    assert len(platform.engine.api.services(filters=labels)) == 1
    connect(config(platform)["DATABASE_URL"]).close()
    heroku(f"addons:destroy killed-1 -a {APP} --confirm {APP}")
    eventually(lambda: not left_behind(platform), 120, "nothing of the database is left")
