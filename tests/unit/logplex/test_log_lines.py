import json
from datetime import UTC, datetime

import pytest

from dynoform.domain import log_lines, router_log

APP = "0b7e2f0c-6a7e-4c39-8df5-6e1e5a0d9d11"
NOW = datetime(2026, 11, 23, 23, 10, 17, 123456, tzinfo=UTC)


def lines(message: bytes) -> list[str]:
    return [line.render().decode() for line in log_lines.parse(message, NOW)]


def test_a_dynos_line_reads_as_on_heroku() -> None:
    message = f"<190>1 2026-11-23T23:10:18.5Z host {APP} web.1 app - hello".encode()
    assert lines(message) == ["2026-11-23T23:10:18.500000+00:00 app[web.1]: hello"]


@pytest.mark.parametrize(
    ("process", "shown"),
    [
        ("heroku.web.1", "heroku[web.1]"),
        ("app.api", "app[api]"),
        ("heroku.router", "heroku[router]"),
        ("7", "heroku[7]"),
    ],
)
def test_the_platforms_lines_carry_their_source_in_the_process(process: str, shown: str) -> None:
    assert lines(f"<190>1 - - {APP} {process} - - x".encode()) == [f"2026-11-23T23:10:17.123456+00:00 {shown}: x"]


def test_what_is_framed_can_be_parsed_back() -> None:
    frame = log_lines.frame(APP, "heroku", "web.1", "State changed from starting to up", NOW)
    (message,) = log_lines.Framer().feed(frame)
    assert lines(message) == ["2026-11-23T23:10:17.123456+00:00 heroku[web.1]: State changed from starting to up"]


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"<190>1 - - no-uuid web.1 app - x",
        f"<190>1 - - {APP} we/b app - x".encode(),
        b"<1>1 - - - - - -",
    ],
)
def test_what_is_no_apps_line_is_left_out(message: bytes) -> None:
    assert lines(message) == []


def test_structured_data_is_passed_over() -> None:
    message = f'<190>1 - - {APP} web.1 app [x a="]\\"" b="c"][y] text [z]'.encode()
    assert lines(message)[0].endswith(": text [z]")


def test_control_characters_and_broken_utf8_cannot_reach_a_terminal() -> None:
    message = (
        f"<190>1 - - {APP} web.1 app - ".encode() + b"\xef\xbb\xbfa\x1b[31mred\x1b[0m\tb\x1b]0;title\x07\xff\x9b2J\r\n"
    )
    (line,) = log_lines.parse(message, NOW)
    assert line.text == "a\x1b[31mred\x1b[0m\tb\ufffd]0;title\ufffd\ufffd\ufffd2J"


def test_long_lines_are_split_between_characters() -> None:
    text = "é" * 12_000
    parts = [line.text for line in log_lines.parse(f"<190>1 - - {APP} web.1 app - a{text}".encode(), NOW)]
    assert "".join(parts) == f"a{text}"
    assert [len(part.encode()) for part in parts] == [9_999, 10_000, 4_002]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("2026-11-23T23:10:17Z", "2026-11-23T23:10:17.000000+00:00"),
        ("2026-11-23T23:10:17.122212000+00:00", "2026-11-23T23:10:17.122212+00:00"),
        ("2026-11-24T00:10:17.5+01:00", "2026-11-23T23:10:17.500000+00:00"),
        ("2026-99-99T00:00:00.5+01:00", None),
        ("-", None),
    ],
)
def test_times_are_shown_in_utc_with_six_digits(text: str, normal: str | None) -> None:
    assert log_lines.normal_time(text) == normal


def test_frames_may_come_in_any_pieces() -> None:
    stream = b"5 hello3 a\nb11 hello world"
    for size in range(1, len(stream)):
        framer = log_lines.Framer()
        found = [m for i in range(0, len(stream), size) for m in framer.feed(stream[i : i + size])]
        assert found == [b"hello", b"a\nb", b"hello world"], size


def test_senders_that_do_not_count_are_read_line_by_line() -> None:
    framer = log_lines.Framer()
    assert framer.feed(b"<1>1 a\n<1>1 b\n\n3 abc<1>1 c") == [b"<1>1 a", b"<1>1 b", b"abc"]
    assert framer.feed(b"\n") == [b"<1>1 c"]


@pytest.mark.parametrize("data", [b"999999999 x", b"x" * (log_lines.MAXIMUM_FRAME + 1)])
def test_a_frame_too_long_to_be_one_is_refused(data: bytes) -> None:
    with pytest.raises(log_lines.FrameError):
        log_lines.Framer().feed(data)


@pytest.mark.parametrize(
    ("source", "dyno", "wanted"),
    [
        ("", "", {"app[web.1]", "app[web.12]", "heroku[web.1]", "heroku[router]"}),
        ("app", "", {"app[web.1]", "app[web.12]"}),
        ("heroku", "", {"heroku[web.1]", "heroku[router]"}),
        ("", "web.1", {"app[web.1]", "heroku[web.1]"}),
        ("", "web", {"app[web.1]", "app[web.12]", "heroku[web.1]"}),
        ("app", "web.1", {"app[web.1]"}),
        ("", "router", {"heroku[router]"}),
    ],
)
def test_filters_choose_by_source_and_dyno(source: str, dyno: str, wanted: set[str]) -> None:
    pattern = log_lines.Filter(source, dyno).pattern()
    every = {"app[web.1]", "app[web.12]", "heroku[web.1]", "heroku[router]"}
    found = {
        name
        for name in every
        if pattern is None or pattern.match(f"2026-01-01T00:00:00.000000+00:00 {name}: x".encode())
    }
    assert found == wanted


def request(**fields: object) -> dict[str, object]:
    usual: dict[str, object] = {
        "time": "2026-11-23T23:10:17.122212000+00:00",
        "app": APP,
        "method": "GET",
        "path": '/a?q="x"',
        "host": "a.localhost",
        "id": "a-request-id",
        "fwd": "1.2.3.4,127.0.0.1",
        "dyno": "web.1",
        "wait": 0,
        "connect": 1,
        "total": 7,
        "status": 200,
        "bytes": 599,
        "state": "--",
        "tls": "",
        "code": None,
    }
    return usual | fields


def test_a_router_line_reads_as_on_heroku() -> None:
    message = b"<158>1 2026-11-23T23:10:17+00:00 host router 8 - - " + json.dumps(request()).encode()
    assert lines(message) == [
        "2026-11-23T23:10:17.122212+00:00 heroku[router]: at=info method=GET path=\"/a?q=%22x%22\" host=a.localhost "
        'request_id=a-request-id fwd="1.2.3.4,127.0.0.1" dyno=web.1 connect=1ms service=6ms status=200 bytes=599 '
        "protocol=http tls=false"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "code", "status"),
    [
        ({"state": "sH", "status": 503}, "H12", 503),
        ({"state": "SH", "status": 503}, "H13", 503),
        ({"state": "SC", "status": 503}, "H21", 503),
        ({"state": "sC", "status": 503}, "H19", 503),
        ({"state": "sD", "status": 200}, "H15", 503),
        ({"state": "SD", "status": 200}, "H18", 503),
        ({"state": "CD", "status": 200, "client": " h1s.flg=0x1 .sc.flg=0x00034402 .sc.app=0x1"}, "H15", 503),
        ({"state": "CD", "status": 200, "client": " h1s.flg=0x1 .sc.flg=0x00074002 .sc.app=0x1"}, "H27", 499),
        (
            {"state": "CD", "status": 200, "client": " h2s.id=1 .sc=0x7f5a(.flg=0x00034402 .app=0x1"},
            "H15",
            503,
        ),
        (
            {"state": "CD", "status": 200, "client": " h2s.id=1 .sc=0x7f5a(.flg=0x00034406 .app=0x1"},
            "H27",
            499,
        ),
        ({"state": "CH", "status": 400}, "H27", 499),
        ({"state": "cH", "status": 400}, "H28", 499),
        ({"state": "PH", "status": 503}, "H17", 503),
        ({"state": "PH", "status": 502, "code": "H25"}, "H25", 502),
        ({"state": "SC", "status": 503, "dyno": ""}, "H99", 503),
        ({"state": "KD", "status": 200}, "H24", 503),
        ({"state": "IH", "status": 500}, "H99", 503),
        ({"state": "PR", "status": 421, "code": "H31"}, "H31", 421),
        ({"state": "CD", "status": 200}, "H27", 499),
        ({"state": "cD", "status": 200}, "H28", 499),
        ({"state": "LR", "status": 503, "code": "H14"}, "H14", 503),
        ({"state": "LR", "status": 503, "code": "H80"}, "H80", 503),
        ({"state": "PR", "status": 502, "code": "H81"}, "H81", 502),
        ({"state": "--", "status": 503}, "", 503),
        ({"state": "CD", "status": 101}, "", 101),
        ({"state": "sD", "status": 101}, "H15", 503),
        ({"state": "cD", "status": 101}, "H15", 503),
        ({"state": "KD", "status": 101}, "H24", 503),
        ({"state": "--", "code": "no such code"}, "", 200),
    ],
)
def test_how_a_request_ended_gives_its_code(fields: dict[str, object], code: str, status: int) -> None:
    text = router_log.line(request(**fields))
    assert router_log.code(request(**fields)) == code
    at = "error" if code not in {"", "H80", "H81"} else "info"
    said = f'code={code} desc="{router_log.CODES[code].description}" ' if code else ""
    assert text.startswith(f"at={at} {said}method=")
    assert f" status={status} " in text


@pytest.mark.parametrize(
    ("fields", "measures"),
    [
        ({"held": 1200, "total": 1207}, "dyno=web.1 connect=1201ms service=6ms status=200 bytes=599 "),
        ({"before": 1003, "held": 20, "total": 30}, "dyno=web.1 connect=1024ms service=9ms status=200 bytes=599 "),
        (
            {"before": 9003, "code": "H21", "status": 503, "connect": -1},
            "dyno=web.1 connect=9010ms service= status=503 ",
        ),
        ({"state": "LR", "status": 503, "code": "H14", "connect": -1}, "dyno= connect= service= status=503 bytes= "),
        ({"state": "SC", "status": 503, "connect": -1}, "dyno=web.1 connect=7ms service= status=503 bytes= "),
        ({"state": "sH", "status": 503}, "dyno=web.1 connect=1ms service=6ms status=503 bytes=0 "),
        ({"state": "SD"}, "dyno=web.1 connect=1ms service=6ms status=503 bytes=599 "),
    ],
)
def test_what_was_not_reached_is_not_measured(fields: dict[str, object], measures: str) -> None:
    assert measures in router_log.line(request(**fields))


def test_a_request_over_tls_says_so() -> None:
    assert router_log.line(request(tls="TLSv1.3")).endswith("protocol=https tls=true tls_version=tls1.3")


def test_a_client_cannot_add_fields_to_a_router_line() -> None:
    text = router_log.line(request(host='a status=200 x="', path='/" status=200', dyno=None, bytes="many"))
    assert "host=astatus=200x= " in text
    assert 'path="/%22 status=200"' in text


@pytest.mark.parametrize(
    ("state", "is_kept"), [("--", False), ("CD", False), ("sH", False), ("SC", True), ("sC", True)]
)
def test_of_a_request_that_comes_to_the_router_again_one_line_is_kept(state: str, is_kept: bool) -> None:
    fields = request(app="7f3f3c9e-5a0c-4a8e-9f0e-3a1c1a0f2c55", dyno="again", woken="web.2", state=state)
    entry = router_log.read(json.dumps(fields))
    assert (entry is not None) is is_kept, "none is kept there when it cannot come"
    assert entry is None or " dyno=web.2 " in entry.text


@pytest.mark.parametrize("message", ["", "[]", "{", '{"app": ""}', '{"app": null}', "3"])
def test_router_messages_without_an_app_are_left_out(message: str) -> None:
    assert router_log.read(message) is None
