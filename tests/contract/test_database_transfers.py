"""Logical backups by the data API: dumps, encryption and restores are real, by the image's own program."""

import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import delete, select, update

from dynoform.addons import transfers as transfers_at_work
from dynoform.addons.engine import Job, JobState
from dynoform.addons.transfers import PATIENCE
from dynoform.api.services import Services
from dynoform.errors import UnavailableError
from dynoform.store import transfers
from dynoform.store.session import Store
from dynoform.store.tables import Database, Transfer, TransferSchedule, now
from tests.contract.conftest import Person
from tests.contract.test_databases import config, create, place, work_through
from tests.local_databases import KILLED, Local
from tests.postgres import binaries

__all__ = ["place"]
PLAN = "heroku-postgresql:essential-0"


@pytest.fixture
def addon(client: httpx.Client, app: str, place: Local) -> dict[str, Any]:
    """An essential database of ``myapp`` with a table."""
    made = create(client)
    with place.connect(config(client)["DATABASE_URL"]) as database:
        database.execute("CREATE TABLE kept AS SELECT repeat('the-plain-text', 9) AS word, 42 AS answer")
    return made


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """What is in this folder has an address."""
    (made := tmp_path / "elsewhere").mkdir()
    return made


@pytest.fixture
def elsewhere_url(elsewhere: Path) -> Iterator[str]:
    """The folder's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(elsewhere))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def work(place: Local) -> None:
    """Have all that is under way done."""
    for _ in range(6):
        if not place.transfers.work():
            return
    raise AssertionError("a transfer does not come to its end")


def capture(client: httpx.Client, addon: dict[str, Any], place: Local) -> dict[str, Any]:
    made = client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
    work(place)
    found: dict[str, Any] = info(client, made["uuid"])
    return found


def info(client: httpx.Client, reference: str) -> dict[str, Any]:
    path = f"/client/v11/apps/myapp/transfers/{reference}"
    found: dict[str, Any] = client.get(path, params={"verbose": "true"}).raise_for_status().json()
    return found


def restore(client: httpx.Client, addon: dict[str, Any], place: Local, url: str) -> dict[str, Any]:
    path = f"/client/v11/databases/{addon['id']}/restores"
    made = client.post(path, json={"backup_url": url}).raise_for_status().json()
    work(place)
    return info(client, made["uuid"])


def copy(client: httpx.Client, addon: dict[str, Any], place: Local, body: dict[str, str]) -> dict[str, Any]:
    made = client.post(f"/client/v11/databases/{addon['id']}/transfers", json=body).raise_for_status().json()
    work(place)
    return info(client, made["uuid"])


def reached(place: Local, url: str) -> str:
    """A database's URL where it is reached from here: the tests' server is not where the add-ons' would be."""
    server = place.engine.url.partition("@")[2].partition("/")[0]
    own, _, name = url.rpartition("/")
    return f"{own.partition('@')[0]}@{server}/{name}?sslmode=disable"


def kept(client: httpx.Client, place: Local) -> int:
    """What is in the table."""
    with place.connect(config(client)["DATABASE_URL"]) as database:
        row = database.execute("SELECT answer FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def link(client: httpx.Client, number: int) -> str:
    path = f"/client/v11/apps/myapp/transfers/{number}/actions/public-url"
    url: str = client.post(path).raise_for_status().json()["url"]
    return url


def fetch(address: str, url: str) -> httpx.Response:
    """As anybody does who has the link."""
    return httpx.get(f"{address}/backups/{url.partition('/backups/')[2]}", trust_env=False, timeout=60)


def test_a_backup_is_encrypted_and_is_had_by_its_link_as_pg_restore_reads_it(
    client: httpx.Client, addon: dict[str, Any], place: Local, address: str, tmp_path: Path, services: Services
) -> None:
    made = client.post(f"/client/v11/databases/{addon['name']}/backups").raise_for_status()
    body = made.json()
    assert made.status_code == 201
    assert (body["num"], body["from_name"], body["from_type"], body["to_type"]) == (1, "DATABASE", "pg_dump", "gof3r")
    assert (body["finished_at"], body["succeeded"], body["schedule"]) == (None, None, None)
    work(place)
    found = info(client, "b001")
    assert found["succeeded"] is True and found["started_at"] <= found["finished_at"]
    assert found["source_bytes"] > 1_000_000 and found["processed_bytes"] > 500
    assert found["logs"][-1]["message"] == "transfer succeeded"
    file = services.configuration.backups / found["uuid"]
    raw = file.read_bytes()
    assert raw.startswith(b"Salted__") and b"PGDMP" not in raw and len(raw) == found["processed_bytes"]
    answer = fetch(address, link(client, 1))
    assert answer.headers["content-disposition"] == 'attachment; filename="b001.dump"'
    dump = tmp_path / "b001.dump"
    dump.write_bytes(answer.content)
    listed = subprocess.run([binaries() / "pg_restore", "--list", dump], capture_output=True, text=True, check=True)
    assert "TABLE DATA public kept" in listed.stdout
    job = place.engine.begun[-1]
    assert job.beside == f"local_addon-{addon['id']}" and "key" not in " ".join(job.argv)


def test_links_end_and_are_for_one_backup(
    client: httpx.Client, addon: dict[str, Any], place: Local, address: str, services: Services
) -> None:
    capture(client, addon, place)
    url = link(client, 1)
    assert fetch(address, url.partition("?")[0]).status_code == 403
    assert fetch(address, url[:-2] + ("AA" if url[-2] != "A" else "BA")).status_code == 403
    token = services.vault.sign("get backup", {"backup": url.partition("/backups/")[2].partition("?")[0]}, -100)
    assert fetch(address, f"{url.partition('?')[0]}?token={token}").status_code == 403
    other = url.replace(url.partition("/backups/")[2].partition("?")[0], str(uuid.uuid4()))
    assert fetch(address, other).status_code == 404


def test_a_backup_that_is_not_what_was_written_is_neither_restored_nor_given_whole(
    client: httpx.Client, addon: dict[str, Any], place: Local, address: str, services: Services
) -> None:
    file = services.configuration.backups / capture(client, addon, place)["uuid"]
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)
    with pytest.raises(httpx.HTTPError):
        fetch(address, link(client, 1))
    body = {"backup_url": info(client, "1")["to_url"]}
    made = client.post(f"/client/v11/databases/{addon['id']}/restores", json=body).raise_for_status().json()
    work(place)
    found = info(client, made["uuid"])
    assert found["succeeded"] is False
    assert "the backup is not what was written" in found["logs"][-1]["message"]
    assert kept(client, place) == 42, "nothing is emptied for it"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing", "curl: (22) The requested URL returned error: 404"),
        ("page", "input file does not appear to be a valid archive"),
        ("plain", "input file appears to be a text format dump"),
    ],
)
def test_a_url_that_gives_no_dump_leaves_what_a_database_has(
    client: httpx.Client, addon: dict[str, Any], place: Local, elsewhere: Path, elsewhere_url: str, name: str, said: str
) -> None:
    (elsewhere / "page").write_text("<html>Access denied: the link has expired</html>" * 9)
    (elsewhere / "plain").write_text("--\n-- PostgreSQL database dump\n--\n\n" * 99)
    found = restore(client, addon, place, f"{elsewhere_url}/{name}")
    assert found["succeeded"] is False
    messages = [each["message"] for each in found["logs"]]
    assert said in " ".join(messages)
    assert messages[-1] == "transfer: the address gives no dump that can be restored"
    assert kept(client, place) == 42


@pytest.mark.parametrize("form", ["custom", "tar"])
def test_a_dump_from_elsewhere_replaces_what_a_database_has(
    client: httpx.Client, addon: dict[str, Any], place: Local, elsewhere: Path, elsewhere_url: str, form: str
) -> None:
    url = config(client)["DATABASE_URL"]
    with place.connect(url) as database:
        # More than is read to see that it is one.
        database.execute("CREATE TABLE long AS SELECT md5(g::text) AS word FROM generate_series(1, 99999) g")
    argv = [str(binaries() / "pg_dump"), f"--format={form}", f"--file={elsewhere}/dump"]
    subprocess.run([*argv, reached(place, url)], check=True)
    with place.connect(url) as database:
        database.execute("DROP TABLE long")
        database.execute("CREATE TABLE later (a int)")
    found = restore(client, addon, place, f"{elsewhere_url}/dump")
    assert found["succeeded"] is True, found
    with place.connect(url) as database:
        assert database.execute("SELECT count(*) FROM long").fetchone() == (99999,)
        assert database.execute("SELECT to_regclass('later')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("127.0.0.1:9/data", "Connection refused"),
        ("{server}/no-such", 'database "no-such" does not exist'),
        ("{server}/{name}", "permission denied for table others"),
    ],
)
def test_a_database_that_cannot_be_copied_leaves_what_another_one_has(
    client: httpx.Client, addon: dict[str, Any], place: Local, source: str, said: str
) -> None:
    other = create(client, attachment={"name": "PINK"})
    url, to = (config(client)[f"{name}_URL"] for name in ("DATABASE", "PINK"))
    with place.connect(to) as database:
        database.execute("CREATE TABLE kept AS SELECT 43 AS answer")
    server, name = place.engine.url.partition("@")[2].partition("/")[0], url.rpartition("/")[2]
    superuser = place.engine.url.replace("+psycopg", "").rpartition("/")[0]
    with psycopg.connect(f"{superuser}/{name}", autocommit=True) as database:
        database.execute("CREATE TABLE others (a int)")
    where = f"{url.partition('@')[0]}@{source.format(server=server, name=name)}?sslmode=disable"
    body = {"from_name": "OTHER", "from_url": where, "to_name": "PINK"}
    found = copy(client, other, place, body)
    assert found["succeeded"] is False
    messages = [each["message"] for each in found["logs"]]
    assert said in " ".join(messages)
    assert messages[-1] == "transfer: the database cannot be copied"
    with place.connect(to) as database:
        assert database.execute("SELECT answer FROM kept").fetchone() == (43,)


def test_a_restore_goes_on_where_a_worker_was_killed(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"backup_url": capture(client, addon, place)["to_url"]}
    place.engine.begun.clear()
    made = client.post(f"/client/v11/databases/{addon['id']}/restores", json=body).raise_for_status().json()
    assert place.transfers.work()
    begin = place.engine.begin

    def killed(job: Job) -> None:
        raise UnavailableError("worker", "was killed")

    # The database is emptied by then.
    monkeypatch.setattr(place.engine, "begin", killed)
    assert place.transfers.work()
    assert info(client, made["uuid"])["started_at"] is None
    monkeypatch.setattr(place.engine, "begin", begin)
    work(place)
    assert info(client, made["uuid"])["succeeded"] is True
    assert [job.argv[1] for job in place.engine.begun] == ["check-restore", "restore"]
    assert kept(client, place) == 42
    assert place.engine.jobs == {}


def test_what_was_killed_is_begun_again_until_that_leads_nowhere(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    body, path = {"backup_url": capture(client, addon, place)["to_url"]}, f"/client/v11/databases/{addon['id']}"
    place.engine.begun.clear()
    made = client.post(f"{path}/restores", json=body).raise_for_status().json()
    for what in ("-check", ""):
        assert place.transfers.work()
        place.engine.done[f"local_transfer-{made['uuid']}{what}"] = KILLED
        assert place.transfers.work()
    work(place)
    found = info(client, made["uuid"])
    assert [job.argv[1] for job in place.engine.begun] == ["check-restore", "check-restore", "restore", "restore"]
    assert [each["message"] for each in found["logs"]][:2] == [f"begun beside {addon['name']}", "begun again"]
    assert found["succeeded"] is True and kept(client, place) == 42

    place.engine.begun.clear()
    place.engine.kills = 99
    made = client.post(f"{path}/backups").raise_for_status().json()
    looks = 1
    while place.transfers.work():
        looks += 1
    found = info(client, made["uuid"])
    assert (looks, found["succeeded"]) == (8, False)
    assert found["logs"][-1]["message"] == "its job was killed each time it was begun: exit code 137"
    assert place.engine.jobs == {}


def test_a_restore_that_is_looked_at_for_long_before_it_outlasts_an_engine_that_fails(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    body, job = {"backup_url": capture(client, addon, place)["to_url"]}, place.engine.job
    path = f"/client/v11/databases/{addon['id']}/restores"
    made = client.post(path, json=body).raise_for_status().json()
    assert place.transfers.work()
    check = f"local_transfer-{made['uuid']}-check"
    ended, place.engine.done[check] = place.engine.done[check], JobState(True, "")
    with store.transaction() as session:
        session.execute(update(Transfer).values(created_at=now() - 2 * PATIENCE))

    def away(name: str) -> JobState | None:
        raise UnavailableError("engine", "is away")

    for said in (away, job, away):
        monkeypatch.setattr(place.engine, "job", said)
        assert place.transfers.work()
    assert info(client, made["uuid"])["finished_at"] is None
    monkeypatch.setattr(place.engine, "job", job)
    place.engine.done[check] = ended
    work(place)
    assert info(client, made["uuid"])["succeeded"] is True

    monkeypatch.setattr(transfers_at_work, "PATIENCE", timedelta())
    late = client.post(path, json=body).raise_for_status().json()
    assert place.transfers.work()
    monkeypatch.setattr(place.engine, "job", away)
    assert place.transfers.work() and not place.transfers.work(), "it is given up when the engine stays away"
    found = info(client, late["uuid"])
    assert (found["succeeded"], found["logs"][-1]["message"]) == (False, "engine: is away")


def test_restore_brings_a_backup_back_whoever_may_have_its_link(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    backup = capture(client, addon, place)
    url = config(client)["DATABASE_URL"]
    for source in (backup["to_url"], link(client, 1)):
        with place.connect(url) as database:
            database.execute("DROP TABLE kept")
            database.execute("CREATE TABLE later (a int)")
        body = {"backup_url": source, "extensions": ["citext"]}
        made = client.post(f"/client/v11/databases/{addon['id']}/restores", json=body).raise_for_status().json()
        assert (made["from_type"], made["to_type"], made["to_name"]) == ("gof3r", "pg_restore", "DATABASE")
        work(place)
        assert info(client, made["uuid"])["succeeded"] is True, info(client, made["uuid"])
        with place.connect(url) as database:
            assert database.execute("SELECT answer FROM kept").fetchone() == (42,)
            assert database.execute("SELECT to_regclass('later')").fetchone() == (None,)
            database.execute("INSERT INTO kept VALUES ('more', 43)")
            owner = database.execute("SELECT tableowner = current_user FROM pg_tables WHERE tablename = 'kept'")
            assert owner.fetchone() == (True,)


def test_a_restore_that_could_not_write_all_of_it_has_failed(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    backup = capture(client, addon, place)
    user = urlsplit(config(client)["DATABASE_URL"]).username
    with psycopg.connect(place.engine.url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f'ALTER ROLE "{user}" SET default_transaction_read_only = on')
    body = {"backup_url": backup["to_url"]}
    made = client.post(f"/client/v11/databases/{addon['id']}/restores", json=body).raise_for_status().json()
    work(place)
    found = info(client, made["uuid"])
    assert found["succeeded"] is False
    said = " ".join(each["message"] for each in found["logs"])
    assert "not all of it could be written: " in said and "in a read-only transaction" in said


def test_a_database_is_not_copied_onto_itself(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    """By whichever address: it would be emptied, and then read."""
    url = config(client)["DATABASE_URL"]
    body = {"from_name": "ELSEWHERE", "from_url": reached(place, url), "to_name": "DATABASE", "to_url": url}
    found = copy(client, addon, place, body)
    assert found["succeeded"] is False
    assert "transfer: the database cannot be copied onto itself" in str(found["logs"])
    assert kept(client, place) == 42


def test_copy_replaces_what_a_database_has(client: httpx.Client, addon: dict[str, Any], place: Local) -> None:
    other = create(client, attachment={"name": "PINK"})
    urls = config(client)
    source = reached(place, urls["DATABASE_URL"])
    body = {"from_name": "DATABASE", "from_url": source, "to_name": "PINK", "to_url": urls["PINK_URL"]}
    made = client.post(f"/client/v11/databases/{other['id']}/transfers", json=body).raise_for_status().json()
    assert (made["from_type"], made["to_type"]) == ("pg_dump", "pg_restore")
    work(place)
    assert info(client, made["uuid"])["succeeded"] is True, info(client, made["uuid"])
    with place.connect(urls["PINK_URL"]) as database:
        assert database.execute("SELECT answer FROM kept").fetchone() == (42,)
    job = place.engine.begun[-1]
    assert job.volumes == [], "a copy has nothing to do with anybody's backups"
    assert source.partition("://")[2].partition("@")[0].partition(":")[2] not in " ".join(job.argv)


@pytest.mark.parametrize(
    "url",
    ["mysql://a:b@host/d", "postgres://a:b@host", "postgres://a:b@ho st/d", "postgres://a:b@host/d?sslmode=x", "-"],
)
def test_a_copy_comes_from_a_database(client: httpx.Client, addon: dict[str, Any], url: str) -> None:
    body = {"from_name": "X", "from_url": url, "to_name": "DATABASE"}
    refused = client.post(f"/client/v11/databases/{addon['id']}/transfers", json=body)
    assert (refused.status_code, refused.json()["message"]) == (
        422,
        "from_url must be postgres://user:password@host:port/database",
    )


def test_restores_from_elsewhere_are_fetched_beside_the_database(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    path = f"/client/v11/databases/{addon['id']}/restores"
    for url in ("file:///etc/passwd", 'http://a/"b', "backup"):
        refused = client.post(path, json={"backup_url": url})
        assert refused.status_code == 422
        assert refused.json()["message"].startswith("backup_url must be a backup of an app, or an http(s) URL")
    made = client.post(path, json={"backup_url": "http://127.0.0.1:9/dump"}).raise_for_status().json()
    work(place)
    found = info(client, made["uuid"])
    assert found["succeeded"] is False
    assert "curl" in str(found["logs"]) and "127.0.0.1" not in " ".join(place.engine.begun[-1].argv)


def test_a_schedule_makes_a_backup_each_day_at_its_hour_where_its_people_are(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    path = f"/client/v11/databases/{addon['id']}/transfer-schedules"
    body = {"hour": "02", "timezone": "America/New_York", "schedule_name": "DATABASE_URL"}
    made = client.post(path, json=body).raise_for_status().json()
    assert (made["hour"], made["timezone"], made["name"]) == (2, "America/New_York", "DATABASE_URL")
    again = client.post(path, json={**body, "hour": 3}).raise_for_status().json()
    assert again["uuid"] == made["uuid"]
    assert [each["hour"] for each in client.get(path).json()] == [3]
    with store.transaction() as session:
        found = session.scalars(select(TransferSchedule)).one()
        assert now() < found.next_at <= now() + timedelta(days=1)
        assert found.next_at.astimezone(UTC).hour in (7, 8), "3 o'clock in New York"
        session.execute(update(TransferSchedule).values(next_at=now() - timedelta(days=3)))
    work(place)
    (backup,) = client.get("/client/v11/apps/myapp/transfers").json()
    assert backup["succeeded"] is True and backup["schedule"] == {"uuid": made["uuid"]}
    client.delete(f"{path}/{made['uuid']}").raise_for_status()
    assert client.get(path).json() == []
    for wrong, message in (
        ({"hour": "24"}, "hour must be a number from 0 to 23"),
        ({"timezone": "Mars/Base"}, "There is no time zone Mars/Base: use one such as America/New_York or UTC"),
    ):
        refused = client.post(path, json={**body, **wrong})
        assert (refused.status_code, refused.json()["message"]) == (422, message)


def test_more_schedules_than_may_be_under_way_are_all_done_in_the_end(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    other = create(client)
    for database, count in ((addon, transfers.SCHEDULES), (other, 1)):
        path = f"/client/v11/databases/{database['id']}/transfer-schedules"
        for number in range(count):
            client.post(path, json={"hour": 2, "schedule_name": f"URL_{number}"}).raise_for_status()
    with store.transaction() as session:
        session.execute(update(TransferSchedule).values(next_at=now() - timedelta(hours=1)))
    assert place.transfers.work() and place.transfers.work()
    with store.transaction() as session:
        due = session.scalars(select(TransferSchedule.next_at).order_by(TransferSchedule.next_at)).all()
        assert timedelta(minutes=4) < due[0] - now() < timedelta(minutes=6), "the one that was refused"
        assert len(due) == transfers.MAXIMUM + 1 and due[1] - now() > timedelta(minutes=6)
    made = client.get("/client/v11/apps/myapp/transfers").json()
    assert [each["succeeded"] for each in made] == [True] * transfers.MAXIMUM
    with store.transaction() as session:
        session.execute(update(TransferSchedule).where(TransferSchedule.next_at == due[0]).values(next_at=now()))
    work(place)
    made = client.get("/client/v11/apps/myapp/transfers").json()
    assert [each["succeeded"] for each in made] == [True] * (transfers.MAXIMUM + 1)
    assert len({each["schedule"]["uuid"] for each in made}) == transfers.MAXIMUM + 1


def test_a_database_has_up_to_ten_schedules(client: httpx.Client, addon: dict[str, Any]) -> None:
    path = f"/client/v11/databases/{addon['id']}/transfer-schedules"
    wanted = [{"hour": 2, "schedule_name": f"URL_{number}"} for number in range(transfers.SCHEDULES + 1)]
    answers = [client.post(path, json=each) for each in wanted]
    assert [each.status_code for each in answers] == [201] * transfers.SCHEDULES + [422]
    assert answers[-1].json()["message"] == (
        f"{addon['name']} has 10 schedules, more are not possible: heroku pg:backups:unschedule ends one"
    )
    client.post(path, json={**wanted[0], "hour": 3}).raise_for_status()
    client.delete(f"{path}/{answers[0].json()['uuid']}").raise_for_status()
    client.post(path, json=wanted[-1]).raise_for_status()


def test_a_bug_with_one_transfer_leaves_the_others_to_be_done(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/client/v11/databases/{addon['id']}/backups"
    first, second = (client.post(path).raise_for_status().json() for _ in range(2))
    size, asked = place.transfers._size, []

    def broken(addon_id: uuid.UUID, database: str) -> int:
        asked.append(database)
        if len(asked) == 1:
            raise ValueError("what the server said is no number")
        return size(addon_id, database)

    monkeypatch.setattr(place.transfers, "_size", broken)
    assert place.transfers.work() and place.transfers.work()
    assert info(client, second["uuid"])["succeeded"] is True
    work(place)
    assert info(client, first["uuid"])["succeeded"] is True, "it is tried again"


def test_a_plan_keeps_as_many_as_it_has_and_deleted_ones_lose_their_files(
    client: httpx.Client, addon: dict[str, Any], place: Local, services: Services
) -> None:
    for _ in range(6):
        capture(client, addon, place)
    place.transfers.sweep()
    kept = client.get("/client/v11/apps/myapp/transfers").json()
    assert [each["num"] for each in kept] == [2, 3, 4, 5, 6], "essential plans keep five that were captured"
    client.delete("/client/v11/apps/myapp/transfers/b004").raise_for_status()
    assert client.get("/client/v11/apps/myapp/transfers/b004").status_code == 404
    place.transfers.sweep()
    names = {path.name for path in services.configuration.backups.iterdir()}
    assert names == {each["uuid"] for each in kept if each["num"] != 4}


def test_a_transfer_under_way_can_be_canceled_and_not_deleted(
    client: httpx.Client, addon: dict[str, Any], place: Local
) -> None:
    made = client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
    path = f"/client/v11/apps/myapp/transfers/{made['num']}"
    refused = client.delete(path)
    assert (refused.status_code, refused.json()["message"]) == (422, "It is under way: cancel it first")
    client.post(f"/client/v11/apps/myapp/transfers/{made['uuid']}/actions/cancel").raise_for_status()
    work(place)
    found = info(client, made["uuid"])
    assert found["succeeded"] is False and found["canceled_at"] is not None
    assert found["logs"][-1]["message"] == "transfer canceled"
    refused = client.post(f"{path}/actions/cancel")
    assert (refused.status_code, refused.json()["message"]) == (422, "It has finished")
    refused = client.post(f"{path}/actions/public-url")
    assert (refused.status_code, refused.json()["message"]) == (422, "It is no backup that is there")


def test_ten_at_a_time_are_enough(client: httpx.Client, addon: dict[str, Any]) -> None:
    path = f"/client/v11/databases/{addon['id']}/backups"
    codes = [client.post(path).status_code for _ in range(transfers.MAXIMUM + 1)]
    assert codes == [201] * transfers.MAXIMUM + [422]
    assert client.post(path).json()["message"] == "10 transfers are under way: wait for one, or cancel it"


def test_a_last_backup_is_kept_of_a_database_that_is_destroyed(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    work_through(place, store)
    with store.transaction() as session:
        session.execute(update(Database).values(protection={"alarm": ""}))
    gone: list[int] = []
    teller = threading.Thread(
        target=lambda: gone.append(client.delete(f"/apps/myapp/addons/{addon['id']}").status_code)
    )
    teller.start()
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    while teller.is_alive() and datetime.now(UTC) < deadline:
        place.transfers.work()
    teller.join(10)
    assert gone == [200]
    (last,) = client.get("/client/v11/apps/myapp/transfers").json()
    assert last["succeeded"] is True
    # It is restored to another one.
    new = create(client)
    body = {"backup_url": last["to_url"]}
    made = client.post(f"/client/v11/databases/{new['id']}/restores", json=body).raise_for_status().json()
    work(place)
    assert info(client, made["uuid"])["succeeded"] is True
    with place.connect(config(client)["DATABASE_URL"]) as database:
        assert database.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_backup_of_a_database_that_is_gone_ends(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    made = client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
    with store.transaction() as session:
        session.execute(update(Transfer).values(addon_id=None))
    work(place)
    assert info(client, made["uuid"])["logs"][-1]["message"] == "the database is gone"


def test_the_jobs_of_an_app_that_is_destroyed_end(
    client: httpx.Client, addon: dict[str, Any], place: Local, store: Store
) -> None:
    made = client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
    assert place.transfers.work()
    name = f"local_transfer-{made['uuid']}"
    place.engine.done[name] = JobState(True, "")
    place.engine.begin(check := replace(place.engine.jobs[name], name=f"{name}-check", argv=["/bin/true"]))
    place.engine.begin(others := replace(check, name="local_addon-1-restore"))
    assert place.transfers.work()
    assert set(place.engine.jobs) == {name, check.name, others.name}, "they are wanted"
    client.delete("/apps/myapp").raise_for_status()
    with store.transaction() as session:
        assert session.scalars(select(Transfer)).all() == []
    assert not place.transfers.work()
    assert set(place.engine.jobs) == {others.name}


def test_jobs_are_known_before_they_are_looked_for(
    client: httpx.Client, addon: dict[str, Any], place: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    names = place.engine.job_names

    def just_then() -> list[str]:
        listed = names()
        made = client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status().json()
        found.append(f"local_transfer-{made['uuid']}")
        return [*listed, found[-1]]

    ended: list[str] = []
    monkeypatch.setattr(place.engine, "job_names", just_then)
    monkeypatch.setattr(place.engine, "end", ended.append)
    assert place.transfers.work()
    assert found and ended == []


@pytest.mark.parametrize(
    "state",
    [None, JobState(True, "", "@bytes 7"), JobState(False, "", "@bytes 7"), JobState(False, "it failed"), "away"],
)
def test_a_transfer_that_goes_while_it_is_worked_on_is_left(
    client: httpx.Client,
    addon: dict[str, Any],
    place: Local,
    store: Store,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    state: JobState | str | None,
) -> None:
    client.post(f"/client/v11/databases/{addon['id']}/backups").raise_for_status()

    def gone(name: str) -> JobState | None:
        with store.transaction() as session:
            session.execute(delete(Transfer))
        if isinstance(state, str):
            raise UnavailableError("engine", state)
        return state

    monkeypatch.setattr(place.engine, "job", gone)
    journal: list[Any] = services.journal.entries  # type: ignore[attr-defined]
    before = len(journal)
    assert place.transfers.work()
    assert not place.transfers.work()
    said = [event for event, _ in journal[before:] if "transfer" in event]
    assert said == (["warning transfer postponed"] if state == "away" else [])


def test_a_transfer_that_went_before_its_turn_is_left(
    place: Local, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "unfinished", lambda session: [uuid.uuid4()])
    journal: list[Any] = services.journal.entries  # type: ignore[attr-defined]
    before = len(journal)
    assert place.transfers.work()
    assert not [event for event, _ in journal[before:] if "transfer" in event]


def test_backups_are_their_apps_own(
    client: httpx.Client, addon: dict[str, Any], place: Local, stranger: httpx.Client, person: Person
) -> None:
    backup = capture(client, addon, place)
    stranger.post("/apps", json={"name": "theirs"}).raise_for_status()
    theirs = stranger.post("/apps/theirs/addons", json={"plan": PLAN}).raise_for_status().json()
    for app in ("myapp", "theirs"):
        for reference in ("1", backup["uuid"]):
            path = f"/client/v11/apps/{app}/transfers/{reference}"
            assert stranger.get(path).status_code == 404
            assert stranger.delete(path).status_code == 404
            assert stranger.post(f"{path}/actions/public-url").status_code == 404
    body = {"backup_url": backup["to_url"]}
    assert stranger.post(f"/client/v11/databases/{theirs['id']}/restores", json=body).status_code == 404
    assert stranger.post(f"/client/v11/databases/{addon['id']}/backups").status_code == 404
    schedules = f"/client/v11/databases/{addon['id']}/transfer-schedules"
    assert stranger.get(schedules).status_code == 404
    reader = person("ann-reads", "read")
    client.post("/apps/myapp/collaborators", json={"user": "ann-reads@example.com", "silent": True}).raise_for_status()
    assert reader.get("/client/v11/apps/myapp/transfers").status_code == 403
    assert reader.post("/client/v11/apps/myapp/transfers/1/actions/public-url").status_code == 403
    with pytest.raises(psycopg.OperationalError):
        place.connect(config(stranger, "theirs")["DATABASE_URL"].rpartition("/")[0] + "/postgres")
