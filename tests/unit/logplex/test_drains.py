"""Drains to real receivers: what they are sent, what is sent again, and who is told of what was lost."""

import base64
import re
import socket
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dynoform.domain.log_drains import Target
from dynoform.logplex import drains, senders
from dynoform.logplex.places import Connector
from tests import rsyslog
from tests.contract.receiver import Receiver
from tests.integration.certificates import Authority
from tests.log_plane import LOCAL, Plane
from tests.postgres import free_port

TOKEN = "d.9173ea1f-6f14-4976-9cf0-7cd0dafdcdbc"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00"


def target(app: str, url: str, token: str = TOKEN) -> Target:
    return Target(str(uuid.uuid4()), app, "myapp", token, url)


def until(condition: Callable[[], bool], what: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


def messages(body: bytes) -> list[str]:
    """The messages of an octet-counted body."""
    found = []
    while body:
        length, _, rest = body.partition(b" ")
        found.append(rest[: int(length)].decode())
        body = rest[int(length) :]
    return found


def received(plane: Plane, drain: Target) -> int:
    """The number of the last line that the drain is known to have; zero while there is a newer one."""
    found = plane.server.drains._running[drain.id][0]
    return found.delivered if found.delivered == plane.buffers.bounds(drain.app_id)[1] else 0


def texts(https: Receiver) -> list[str]:
    """What the receiver has taken, without the head of each line."""
    return [
        message.partition(" - ")[2].rstrip("\n")
        for request in list(https.requests)
        for message in messages(request.body)
    ]


def test_an_https_drain_gets_herokus_requests(plane: Plane, https: Receiver, app: str) -> None:
    url = https.url.replace("https://", "https://us%40er:pass%2Fword@")
    plane.write(app, "before there was a drain")
    plane.apply(target(app, url))
    plane.write(app, "hello")
    (request,) = https.wait(1)
    plane.write(app, "at=info method=GET", process="router", source="heroku")
    plane.write(app, "State changed from starting to up", source="heroku")
    until(lambda: len(texts(https)) == 3, lambda: texts(https))
    assert request.path == "/hooks?x=1"
    assert request.headers["Content-Type"] == "application/logplex-1"
    assert request.headers["Logplex-Msg-Count"] == "1"
    assert request.headers["Logplex-Drain-Token"] == TOKEN
    assert re.fullmatch(r"[0-9A-F]{32}", request.headers["Logplex-Frame-Id"])
    assert request.headers["User-Agent"].startswith("Logplex/")
    assert request.headers["Host"] == f"{LOCAL}:{url.rpartition(':')[2].partition('/')[0]}"
    assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'us@er:pass/word').decode()}"
    found = [message for each in https.requests for message in messages(each.body)]
    assert re.fullmatch(rf"<190>1 {TIME} host app web\.1 - hello\n", found[0])
    assert re.fullmatch(rf"<158>1 {TIME} host heroku router - at=info method=GET\n", found[1])
    assert re.fullmatch(rf"<45>1 {TIME} host heroku web\.1 - State changed from starting to up\n", found[2])


def test_a_request_that_fails_comes_again_with_the_same_id(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None]
) -> None:
    pauses(0.1)
    https.statuses += [500, 429]
    plane.apply(target(app, https.url))
    plane.write(app, "one", "two")
    https.wait(1)
    plane.write(app, "three")
    until(lambda: texts(https)[-1:] == ["three"], lambda: texts(https))
    tried = https.requests[:3]
    assert len({(each.headers["Logplex-Frame-Id"], each.body) for each in tried}) == 1
    assert texts(https)[4:] == ["one", "two", "three"]
    assert https.requests[3].headers["Logplex-Frame-Id"] != tried[0].headers["Logplex-Frame-Id"]


@pytest.mark.parametrize("telemetry", [False, True])
@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_be_let_alone_is(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None], status: int, telemetry: bool
) -> None:
    pauses(0.01)
    https.statuses, https.retry_after = [status], "1"
    plane.apply(replace(target(app, https.url), otlp=telemetry))
    asked = time.monotonic()
    plane.write(app, "hello")
    first, again = https.wait(2)
    assert 0.9 < time.monotonic() - asked < 30
    assert again.path == ("/hooks/v1/logs?x=1" if telemetry else "/hooks?x=1")
    assert b"hello" in first.body and b"hello" in again.body


def test_a_receiver_that_answers_byte_by_byte_is_given_up(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses(0.01)
    monkeypatch.setattr(senders, "SECONDS", 0.5)
    https.drips = True
    plane.apply(target(app, https.url))
    plane.write(app, "hello")
    https.wait(2)  # the first one's answer would take more than an hour
    https.drips = False
    until(lambda: len(https.requests) > 2, lambda: len(https.requests))
    assert set(texts(https)) == {"hello"}


def test_a_receiver_that_refuses_loses_that_request_and_is_told(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None]
) -> None:
    pauses(0.05)
    https.statuses += [401]
    plane.apply(target(app, https.url))
    plane.write(app, "lost", "lost")
    https.wait(1)
    plane.write(app, "kept")
    until(lambda: "kept" in texts(https), lambda: texts(https))
    told = next(text for text in texts(https) if "L10" in text)
    assert re.fullmatch(rf"Error L10 \(output buffer overflow\): 2 messages dropped since {TIME}\.", told)
    known = [text for text in plane.texts(app) if "L10" in text]
    assert re.fullmatch(
        rf"Error L10 \(output buffer overflow\): drain '{TOKEN}' dropped 2 messages since .*\.", known[0]
    )


def test_1024_lines_wait_and_the_oldest_go(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None]
) -> None:
    pauses(0.05)
    https.statuses += [-1]
    plane.apply(target(app, https.url))
    plane.write(app, "first")
    https.wait(1)
    for start in range(0, 1_400, 100):
        plane.write(app, *(f"line {number}" for number in range(start, start + 100)))
    https.released.set()
    until(lambda: "line 1399" in texts(https), lambda: texts(https)[-3:])
    taken = texts(https)[1:]
    dropped = re.fullmatch(rf"Error L10 \(output buffer overflow\): (\d+) messages dropped since {TIME}\.", taken[0])
    assert dropped is not None
    assert int(dropped[1]) == 1_401 - 1_024
    assert [text for text in taken if text.startswith("line")] == [f"line {number}" for number in range(376, 1_400)]
    assert messages(https.requests[1].body)[0].startswith("<172>1 ")
    requests = list(https.requests)  # one more comes, with what the app's log is told
    counts = [int(each.headers["Logplex-Msg-Count"]) for each in requests]
    assert counts == [len(messages(each.body)) for each in requests]
    assert max(len(each.body) for each in requests) < 110_000


def test_what_was_lost_on_a_host_is_told_to_a_drain_that_loses_lines_itself(
    plane: Plane, https: Receiver, app: str, pauses: Callable[[float], None]
) -> None:
    pauses(0.05)
    https.statuses += [-1]
    plane.apply(target(app, https.url))
    plane.write(app, "first")
    https.wait(1)
    told = "Error L12 (Local buffer overflow): 35000 messages of web.1 dropped since 2026-11-26T06:00:00.000000+00:00."
    plane.write(app, told, process="logplex", source="heroku")
    plane.write(app, "Error L12 is what an app may say")
    for start in range(0, 2_000, 100):
        plane.write(app, *(f"line {number}" for number in range(start, start + 100)))
    https.released.set()
    until(lambda: "line 1999" in texts(https), lambda: texts(https)[-3:])
    time.sleep(0.2)
    taken = texts(https)
    assert taken.count(told) == 1
    assert "Error L12 is what an app may say" not in taken
    assert messages(https.requests[1].body)[0].startswith("<172>1 ")
    lost = sum(int(each[1]) for text in taken if (each := re.match(r"Error L10 .*: (\d+) messages", text)))
    assert lost == 2_003 - 1_024


def test_a_dead_and_a_slow_drain_hurt_no_other(plane: Plane, https: Receiver, app: str) -> None:
    with socket.create_server((LOCAL, 0)) as deaf:  # takes connections and reads nothing
        dead = target(app, f"syslog://{LOCAL}:{free_port()}", "d.dead")
        slow = target(app, f"syslog://{LOCAL}:{deaf.getsockname()[1]}", "d.slow")
        plane.apply(dead, slow, target(app, https.url))
        for number in range(120):
            plane.write(app, *[f"{number} {'x' * 9_000}"] * 10)
            until(lambda n=number: len(https.requests) > n, lambda: "held up")  # type: ignore[misc]
        until(lambda: sum(text.startswith("119 ") for text in texts(https)) == 10, lambda: len(texts(https)))
    taken, lost = [text for text in texts(https) if " x" in text], [text for text in texts(https) if "L10" in text]
    assert [int(text.partition(" x")[0]) for text in taken] == [n for n in range(120) for _ in range(10)]
    assert {text.partition("drain ")[2].partition(" ")[0] for text in lost} <= {"'d.dead'", "'d.slow'"}


def test_a_drain_that_fails_says_why_once(
    plane: Plane, app: str, pauses: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses(0.05)
    monkeypatch.setattr(drains, "TELL_SECONDS", 0.1)
    plane.apply(target(app, f"syslog://{LOCAL}:{free_port()}"))
    plane.write(app, "nobody hears this")
    said = f"Drain fails: drain '{TOKEN}': connection refused. It is tried again."
    until(lambda: said in plane.texts(app), lambda: plane.texts(app))
    time.sleep(0.5)
    assert plane.texts(app).count(said) == 1


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://localhost:{port}/", "its host is at no address that drains may have"),
        ("syslog://no.such.host.invalid:514", "its host's name cannot be resolved"),
    ],
)
def test_a_name_is_judged_by_the_address_that_it_leads_to(
    app: str, https: Receiver, monkeypatch: pytest.MonkeyPatch, pauses: Callable[[float], None], url: str, why: str
) -> None:
    real = socket.getaddrinfo

    def look_up(host: str, *arguments: object, **options: object) -> list[object]:
        if host.endswith(".invalid"):  # whoever is asked for it elsewhere may take his time
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return real(host, *arguments, **options)  # type: ignore[arg-type, return-value]

    pauses(0.05)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr(drains, "TELL_SECONDS", 0.1)
    plane = Plane()  # which lets drains go nowhere but to the public internet
    try:
        plane.apply(target(app, url.format(port=https.url.rpartition(":")[2].partition("/")[0])))
        plane.write(app, "secret")
        said = f"Drain fails: drain '{TOKEN}': {why}. It is tried again."
        until(lambda: said in plane.texts(app), lambda: plane.texts(app))
    finally:
        plane.stop()
    assert https.requests == []


def test_a_name_that_changes_its_mind_is_not_asked_twice(
    plane: Plane, https: Receiver, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    answers = iter(["127.0.0.1", "169.254.169.254"])
    port = int(https.url.rpartition(":")[2].partition("/")[0])

    def rebinding(host: str, *arguments: object, **options: object) -> list[object]:
        if host != "rebind.example.com":
            return real(host, *arguments, **options)  # type: ignore[arg-type, return-value]
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    plane.apply(target(app, f"syslog://rebind.example.com:{port}"))
    plane.write(app, "hello")
    until(lambda: bool(asked), lambda: "never asked")
    time.sleep(0.2)
    assert len(asked) == 1


def test_a_certificate_that_nobody_knows_is_an_l14(plane: Plane, https: Receiver, app: str) -> None:
    plane.server.drains._connector = Connector(plane.connector._places)  # type: ignore[union-attr]
    plane.apply(target(app, https.url.replace("https://", "https://user:hunter2@")))
    plane.write(app, "secret")
    until(lambda: any("L14" in text for text in plane.texts(app)), lambda: plane.texts(app))
    (said,) = [text for text in plane.texts(app) if "L14" in text]
    assert said.startswith(f"Error L14 (Certificate validation error): drain '{TOKEN}': certificate verify failed")
    assert "hunter2" not in said
    assert https.requests == []


def test_a_certificate_for_another_host_is_an_l14(plane: Plane, https: Receiver, app: str) -> None:
    port = https.url.rpartition(":")[2].partition("/")[0]
    plane.apply(target(app, f"syslog+tls://localhost:{port}"))  # the receiver's is for 127.0.0.1
    plane.write(app, "secret")
    said = f"Error L14 (Certificate validation error): drain '{TOKEN}': certificate verify failed"
    until(lambda: any(text.startswith(said) for text in plane.texts(app)), lambda: plane.texts(app))
    assert https.requests == []


def test_a_drain_goes_on_where_it_was_when_the_log_plane_is_killed(
    plane: Plane, https: Receiver, app: str, monkeypatch: pytest.MonkeyPatch, pauses: Callable[[float], None]
) -> None:
    monkeypatch.setattr(drains, "KEEP_SECONDS", 0.02)
    pauses(0.1)
    drain = target(app, https.url)
    plane.apply(drain)
    plane.write(app, "one", "two")
    until(lambda: texts(https) == ["one", "two"], lambda: texts(https))
    files = plane.buffers.files
    assert files is not None
    until(lambda: files.cursors() == {drain.id: received(plane, drain)} != {drain.id: 0}, files.cursors)
    https.statuses += [500] * 3
    plane.write(app, "three")
    https.wait(2)
    plane.stop(kill=True)
    plane.start()
    plane.write(app, "four")
    plane.apply(drain)
    until(lambda: "four" in texts(https), lambda: texts(https))
    assert list(dict.fromkeys(texts(https))) == ["one", "two", "three", "four"]
    assert texts(https).count("one") == 1


def test_a_drain_that_is_taken_away_gets_nothing_more_and_one_that_is_changed_goes_on(
    plane: Plane, https: Receiver, app: str
) -> None:
    first, second = target(app, https.url), target(app, https.url, "d.second")
    plane.apply(first, second)
    plane.write(app, "both")
    https.wait(2)
    until(lambda: all(received(plane, each) for each in (first, second)), lambda: "no receipt")
    plane.apply(replace(first, url=https.url.replace("/hooks", "/other")))
    plane.write(app, "one")
    https.wait(3)
    time.sleep(0.1)
    assert [each.path for each in https.requests] == ["/hooks?x=1", "/hooks?x=1", "/other?x=1"]
    assert texts(https) == ["both", "both", "one"]


def test_what_is_no_list_of_drains_changes_nothing(plane: Plane, https: Receiver, app: str) -> None:
    plane.apply(target(app, https.url))
    with socket.create_connection((LOCAL, plane.port), timeout=60) as sock:
        for body in (b"{broken!}", b'{"version": "1"}', b'{"version": "1", "drains": [{"id": 1}]}'):
            sock.sendall(b"PUT /drains HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")
    plane.write(app, "still")
    https.wait(1)


RECEIVER = """
global(workDirectory="{folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
{tls}
module(load="imtcp"{driver})
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}" supportOctetCountedFraming="on")
action(type="omfile" file="{folder}/received" template="raw" asyncWriting="off" flushOnTXEnd="on")
"""
TLS = """global(defaultNetstreamDriverCAFile="{folder}/ca.crt"
    defaultNetstreamDriverCertFile="{folder}/server.crt" defaultNetstreamDriverKeyFile="{folder}/server.key")"""
DRIVER = ' streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon"'


@pytest.mark.parametrize("scheme", ["syslog", "syslog+tls"])
def test_rsyslog_takes_what_a_syslog_drain_sends(
    plane: Plane, app: str, tmp_path: Path, authority: Authority, scheme: str, pauses: Callable[[float], None]
) -> None:
    pauses(0.1)
    folder, port = tmp_path / "rsyslog", free_port()
    folder.mkdir()
    certificate, key = authority.issue("receiver", LOCAL)
    for name, pem in (("ca.crt", authority.pem), ("server.crt", certificate), ("server.key", key)):
        (folder / name).write_bytes(pem)
    tls = scheme == "syslog+tls"
    text = RECEIVER.format(
        folder=folder, port=port, tls=TLS.format(folder=folder) if tls else "", driver=DRIVER if tls else ""
    )
    plane.apply(target(app, f"{scheme}://{LOCAL}:{port}"))
    plane.write(app, "before it listens", "\N{GREEK SMALL LETTER ALPHA}\ttab")
    with rsyslog.running(folder, text):
        received = folder / "received"

        def lines() -> list[str]:
            with suppress(OSError):
                return received.read_text().splitlines()
            return []

        plane.write(app, *(f"line {number}" for number in range(900)))
        last = " - line 899"  # to its end: rsyslog writes by blocks
        until(
            lambda: any(line.endswith(last) for line in lines()),
            lambda: (len(lines()), (folder / "rsyslog.log").read_text()),
        )
        found = lines()
    assert re.fullmatch(rf"<190>1 {TIME} {re.escape(TOKEN)} app web\.1 - before it listens", found[0])
    told = ["before it listens", "\N{GREEK SMALL LETTER ALPHA}\ttab", *(f"line {number}" for number in range(900))]
    assert [line.partition(" - ")[2] for line in found] == told
