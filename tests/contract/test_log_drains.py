"""Log drains: which URLs are taken, how few, and that their passwords are kept."""

import threading
import uuid
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import select

from dynoform.domain.log_drains import Reach
from dynoform.store.session import Store
from dynoform.store.tables import LogDrain

URL = "https://user:hunter2@logs.example.com/in?app=1"
SHOWN = "https://user:********@logs.example.com/in?app=********"

ADDRESSES = (
    *("93.184.216.34", "2606:2800::1", "10.1.0.2", "::ffff:10.1.0.2", "fd00:1::5", "10.1.0.1", "::ffff:10.1.0.1"),
    *("10.2.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "224.0.0.1", "::1", "fe80::1", "2002:7f00:1::", "name"),
)


def add(client: httpx.Client, app: str, url: str) -> httpx.Response:
    return client.post(f"/apps/{app}/log-drains", json={"url": url})


def test_a_drain_is_added_shown_changed_and_removed(client: httpx.Client, app: str, store: Store) -> None:
    answer = add(client, app, URL)
    assert answer.status_code == 201
    drain = answer.json()
    assert set(drain) == {"addon", "app", "created_at", "id", "token", "updated_at", "url"}
    assert (drain["url"], drain["addon"]) == (SHOWN, None)
    assert uuid.UUID(drain["token"].removeprefix("d."))
    with store.transaction() as session:
        assert b"hunter2" not in session.scalars(select(LogDrain.url)).one()
    for reference in (drain["id"], drain["token"], quote(URL, safe=""), quote(SHOWN, safe="")):
        assert client.get(f"/apps/{app}/log-drains/{reference}").json() == drain
    assert client.get(f"/apps/{app}/log-drains").json() == [drain]
    changed = client.put(f"/apps/{app}/log-drains/{drain['token']}", json={"url": "syslog+tls://logs.example.com:6514"})
    assert (changed.json()["url"], changed.json()["token"]) == ("syslog+tls://logs.example.com:6514", drain["token"])
    assert client.delete(f"/apps/{app}/log-drains/{quote(changed.json()['url'], safe='')}").json() == changed.json()
    answer = client.get(f"/apps/{app}/log-drains/{drain['id']}")
    assert answer.json() == {"id": "not_found", "resource": "log_drain", "message": "Couldn't find that log drain."}


@pytest.mark.parametrize(
    "url",
    [
        "https://logs.example.com",
        "https://logs.example.com:8443/a/b",
        "syslog://logs.example.com:514",
        "syslog+tls://logs.example.com:6514",
        "https://93.184.216.34/in",
        "https://[2606:2800::1]:8443/",
        "https://logs",
    ],
)
def test_an_ordinary_url_is_taken(client: httpx.Client, app: str, url: str) -> None:
    assert add(client, app, url).raise_for_status().json()["url"] == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "it must start with https://, syslog://, syslog+tls://"),
        ("http://logs.example.com", "it must start with https://, syslog://, syslog+tls://"),
        ("file:///etc/passwd", "it must start with"),
        ("https://", "its host is none that logs can be sent to"),
        ("https://localhost:8000/", "its host is none"),
        ("https://a.localhost/", "its host is none"),
        ("https://127.0.0.1/", "its host is none"),
        ("https://127.1/", "its host is none"),
        ("https://2130706433/", "its host is none"),
        ("https://0x7f000001/", "its host is none"),
        ("https://10.1.2.3/in", "its host is none"),
        ("syslog://172.29.4.1:514", "its host is none"),
        ("https://[fd00::1]/in", "its host is none"),
        ("https://0.0.0.0/", "its host is none"),
        ("https://[::1]/", "its host is none"),
        ("https://[::ffff:127.0.0.1]/", "its host is none"),
        ("https://169.254.169.254/latest/meta-data", "its host is none"),
        ("https://user@127.0.0.1@logs.example.com@127.0.0.1/", "its host is none"),
        ("https://[", "it cannot be understood"),
        ("https://logs.example.com:99999/", "it cannot be understood"),
        ("https://logs.example.com:0/", "it needs a port"),
        ("syslog://logs.example.com", "it needs a port"),
        ("syslog://user:password@logs.example.com:514", "a syslog drain has a host and a port only"),
        ("https://logs.example.com/\r\nX-Evil: 1", "use up to 2000 visible ASCII characters"),
        ("https://lögs.example.com/", "use up to 2000 visible ASCII characters"),
        ("https://logs.example.com/" + "x" * 2000, "use up to 2000 visible ASCII characters"),
    ],
)
def test_a_hostile_url_is_refused(client: httpx.Client, app: str, url: str, message: str) -> None:
    answer = add(client, app, url)
    assert (answer.status_code, answer.json()["id"]) == (422, "invalid_params")
    assert answer.json()["message"].startswith(f"Url is invalid: {message}")
    assert client.get(f"/apps/{app}/log-drains").json() == []


def test_only_public_addresses_and_those_that_the_operator_names_get_logs() -> None:
    reach = Reach(frozenset({"10.1.0.1"}), ("10.1.0.0/16", "fd00:1::/32"))
    assert [address for address in ADDRESSES if Reach().allows(address)] == ["93.184.216.34", "2606:2800::1"]
    assert [address for address in ADDRESSES if reach.allows(address)] == [
        "93.184.216.34",
        "2606:2800::1",
        "10.1.0.2",
        "::ffff:10.1.0.2",
        "fd00:1::5",
    ]


def test_an_app_has_five_drains_and_each_once(client: httpx.Client, app: str) -> None:
    statuses: list[int] = []

    def ask(number: int) -> None:
        statuses.append(add(client, app, f"https://logs{number}.example.com").status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201] * 5 + [422] * 2
    answer = add(client, app, "https://more.example.com")
    assert answer.json()["message"] == "You cannot add more than 5 log drains to an app"
    first, second = client.get(f"/apps/{app}/log-drains").json()[:2]
    client.delete(f"/apps/{app}/log-drains/{first['id']}").raise_for_status()
    assert add(client, app, second["url"]).json()["message"] == "Url has already been taken"
    third = add(client, app, first["url"]).raise_for_status().json()
    answer = client.patch(f"/apps/{app}/log-drains/{third['id']}", json={"url": second["url"]})
    assert (answer.status_code, answer.json()["message"]) == (422, "Url has already been taken")
    same = client.patch(f"/apps/{app}/log-drains/{third['id']}", json={"url": first["url"]})
    assert same.status_code == 200


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://logs.example.com/in", "https://logs.example.com/in"),
        ("https://key@logs.example.com:8443/in", "https://********@logs.example.com:8443/in"),
        ("https://:key@logs.example.com", "https://:********@logs.example.com"),
        ("https://logs.example.com/?key=a&b", "https://logs.example.com/?key=********&b=********"),
        ("https://logs.example.com/?key", "https://logs.example.com/?key=********"),
        ("syslog+tls://logs.example.com:6514", "syslog+tls://logs.example.com:6514"),
    ],
)
def test_what_opens_a_drain_is_not_shown(client: httpx.Client, app: str, url: str, shown: str) -> None:
    made = add(client, app, url).raise_for_status()
    assert made.json()["url"] == shown
    assert client.get(f"/apps/{app}/log-drains").json()[0]["url"] == shown
    assert client.delete(f"/apps/{app}/log-drains/{quote(shown, safe='')}").status_code == 200


def test_a_drain_that_looks_like_another_is_not_taken_for_it(client: httpx.Client, app: str) -> None:
    for key in ("one", "two"):
        add(client, app, f"https://{key}@logs.example.com/").raise_for_status()
    shown = quote("https://********@logs.example.com/", safe="")
    assert client.delete(f"/apps/{app}/log-drains/{shown}").status_code == 404
    assert client.delete(f"/apps/{app}/log-drains/{quote('https://two@logs.example.com/', safe='')}").status_code == 200
    assert len(client.get(f"/apps/{app}/log-drains").json()) == 1


def test_strangers_see_and_change_nothing(client: httpx.Client, stranger: httpx.Client, app: str) -> None:
    drain = add(client, app, URL).json()
    assert stranger.get(f"/apps/{app}/log-drains").status_code == 404
    assert add(stranger, app, "https://b.example.com").status_code == 404
    assert stranger.delete(f"/apps/{app}/log-drains/{drain['id']}").status_code == 404
    mine = stranger.post("/apps", json={"name": "bobs"}).json()["name"]
    assert stranger.get(f"/apps/{mine}/log-drains/{drain['id']}").status_code == 404
