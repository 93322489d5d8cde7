"""Router lines: from what HAProxy reports of a request to Heroku's line with its H code.

Codes: https://devcenter.heroku.com/articles/error-codes. HAProxy's two-letter termination state says who ended the
session and in which phase (HAProxy 3.0 configuration manual, 8.5).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

AGAIN = "again"
"""Stands in the place of a dyno when another is to be drawn: the request comes to the router once more, and has its
line there."""


@dataclass(frozen=True)
class Code:
    """What an H code stands for, and the status that the line has, whatever the client got to see of it."""

    description: str
    status: int = 503
    is_error: bool = True
    """Heroku gives some a code "for the sake of completeness" (https://devcenter.heroku.com/articles/error-codes#h80)."""


CODES = {
    "H10": Code("App crashed"),
    "H11": Code("Backlog too deep"),
    "H12": Code("Request timeout"),
    "H13": Code("Connection closed without response"),
    "H14": Code("No web processes running"),
    "H15": Code("Idle connection"),
    "H17": Code("Poorly formatted HTTP response"),
    "H18": Code("Server Request Interrupted"),
    "H19": Code("Backend connection timeout"),
    "H20": Code("App boot timeout"),
    "H21": Code("Backend connection refused"),
    "H24": Code("Forced close"),
    "H25": Code("HTTP Restriction", 502),
    "H27": Code("Client Request Interrupted", 499),
    "H28": Code("Client Connection Idle", 499),
    "H31": Code("Misdirected Request", 421),
    "H80": Code("Maintenance mode", is_error=False),
    "H81": Code("Blank app", 502, is_error=False),
    "H99": Code("Platform error"),
}

_BY_STATE = {
    "sQ": "H11",
    "sC": "H19",
    "SC": "H21",
    "sH": "H12",
    "SH": "H13",
    "PH": "H17",
    "sD": "H15",
    "SD": "H18",
    "PC": "H99",
    "RC": "H99",
    "CR": "H27",
    "CQ": "H27",
    "CC": "H27",
    "CH": "H27",
    "CD": "H27",
    "cR": "H28",
    "cH": "H28",
    "cD": "H28",
}
_CLIENT_FLAGS = re.compile(r"\.sc(?:\.flg=|=0x[0-9a-f]+\(\.flg=)0x([0-9a-f]{1,8})")
_GONE = 0x40004
"""End of stream, and error: HAProxy's own flags, in what it has for its developers of the client's side."""
_KILLED = {"K": "H24", "D": "H24", "I": "H99", "R": "H99"}
"""Who ended the session, in any phase: the router, told to or short of something; itself, by a fault."""
_NOT_REACHED = frozenset({"H10", "H11", "H14", "H20", "H31", "H80", "H81", "H99"})
"""No dyno was asked: there is nothing to say of one."""
_NOT_CONNECTED = frozenset({"H19", "H21"})
_BEFORE_DATA = "RQCH"
"""Phases in which nothing of the dyno's answer had gone to the client: what it got was the router's."""
_SWITCHED = 101


@dataclass(frozen=True)
class Entry:
    """A finished request: whose it was, when it ended, and its line."""

    app_id: str
    time: str
    text: str


def read(message: str) -> Entry | None:
    """The entry in one JSON message of HAProxy's; None when it is not one or belongs to no app."""
    try:
        fields = json.loads(message)
    except ValueError:
        return None
    if not isinstance(fields, dict) or not fields.get("app") or _goes_on(fields):
        return None
    return Entry(str(fields["app"]), str(fields.get("time", "")), line(fields))


def code(fields: Mapping[str, Any]) -> str:
    """The H code of a request, or an empty string when nothing went wrong.

    ``code`` is what a page of the router's own set; ``state`` is the termination state, ``status`` what the client got.
    """
    own = str(fields.get("code") or "")
    if own in CODES:
        return own
    state = str(fields.get("state") or "")[:2]
    if _number(fields, "status") == _SWITCHED:
        # Either side hangs up when it is done; both are idle at the same time.
        return {"sD": "H15", "cD": "H15"}.get(state, "") if state[:1] not in _KILLED else _KILLED[state[0]]
    if state == "SC" and not _word(fields, "dyno"):
        return "H99"  # others found out about the last dyno meanwhile
    if state == "CD" and not _is_client_gone(str(fields.get("client") or "")):
        return "H15"
    return _BY_STATE.get(state, _KILLED.get(state[:1], ""))


def line(fields: Mapping[str, Any]) -> str:
    """Heroku's router line for these fields; times are in milliseconds, -1 for a phase that was not reached.

    ``held`` is how long the request waited for a dyno to boot, and ``woken`` the dyno that it then went to; ``before``
    how long it had been there when it came ``again``.
    """
    error = code(fields)
    tls = str(fields.get("tls") or "")
    connect, service, size = _measures(error, fields)
    words = [
        f"at={'error' if error and CODES[error].is_error else 'info'}",
        *([f'code={error} desc="{CODES[error].description}"'] if error else []),
        f"method={_word(fields, 'method')}",
        f'path="{_quoted(fields, "path")}"',
        f"host={_word(fields, 'host')}",
        f"request_id={_word(fields, 'id')}",
        f'fwd="{_quoted(fields, "fwd").replace(", ", ",")}"',
        f"dyno={'' if error in _NOT_REACHED else _word(fields, 'woken') or _word(fields, 'dyno')}",
        f"connect={connect}",
        f"service={service}",
        f"status={CODES[error].status if error else _number(fields, 'status')}",
        f"bytes={size}",
        f"protocol={'https' if tls else 'http'}",
        f"tls=true tls_version={tls.lower().replace('tlsv', 'tls')}" if tls else "tls=false",
    ]
    return " ".join(words)


def _goes_on(fields: Mapping[str, Any]) -> bool:
    """Whether it came once more, and did not fail on the way: that is a line of its own."""
    return fields.get("dyno") == AGAIN and str(fields.get("state"))[1:2] != "C"


def _is_client_gone(client: str) -> bool:
    """HAProxy 3.0 says CD also when it was the dyno that sent nothing for too long; it knows better itself."""
    match = _CLIENT_FLAGS.search(client)
    return match is None or bool(int(match[1], 16) & _GONE)


def _measures(error: str, fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """``connect``, ``service`` and ``bytes``; empty, as on Heroku, for what the request did not come to."""
    before = max(0, _number(fields, "before"))
    total = before + max(0, _number(fields, "total"))
    if error in _NOT_REACHED:
        return "", "", ""
    if error in _NOT_CONNECTED:
        return f"{total}ms", "", ""
    connect = before + sum(max(0, _number(fields, phase)) for phase in ("held", "wait", "connect"))
    own = error == "H25" or (error and str(fields.get("state"))[1:2] in _BEFORE_DATA)
    size = 0 if own else max(0, _number(fields, "bytes"))
    return f"{connect}ms", f"{max(0, total - connect)}ms", str(size)


def _number(fields: Mapping[str, Any], name: str) -> int:
    try:
        return int(fields.get(name) or 0)
    except (TypeError, ValueError):
        return 0


def _word(fields: Mapping[str, Any], name: str) -> str:
    # One word per field, whatever a client put into its request: a reader splits the line at spaces.
    return "".join(str(fields.get(name) or "").split()).replace('"', "")


def _quoted(fields: Mapping[str, Any], name: str) -> str:
    return str(fields.get(name) or "").replace('"', "%22")
