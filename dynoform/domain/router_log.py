"""Router lines: from what HAProxy reports of a request to Heroku's line with its H code.

Codes: https://devcenter.heroku.com/articles/error-codes. HAProxy's two-letter termination state says who ended the
session and in which phase (HAProxy 3.0 configuration manual, 8.5).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DESCRIPTIONS = {
    "H10": "App crashed",
    "H11": "Backlog too deep",
    "H12": "Request timeout",
    "H13": "Connection closed without response",
    "H14": "No web processes running",
    "H15": "Idle connection",
    "H17": "Poorly formatted HTTP response",
    "H18": "Server Request Interrupted",
    "H19": "Backend connection timeout",
    "H20": "App boot timeout",
    "H21": "Backend connection refused",
    "H27": "Client Request Interrupted",
    "H28": "Client Connection Idle",
    "H80": "Maintenance mode",
    "H99": "Platform error",
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
    "cD": "H28",
}
_CLIENT = {"H27": 499, "H28": 499}
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
    if not isinstance(fields, dict) or not fields.get("app"):
        return None
    return Entry(str(fields["app"]), str(fields.get("time", "")), line(fields))


def code(fields: Mapping[str, Any]) -> str:
    """The H code of a request, or an empty string when nothing went wrong.

    ``code`` is what a page of the router's own set; ``state`` is the termination state, ``status`` what the client got.
    """
    own = str(fields.get("code") or "")
    if own in DESCRIPTIONS:
        return own
    # After a switch of protocols either side hangs up when it is done.
    if _number(fields, "status") == _SWITCHED and str(fields.get("state"))[:1] in {"C", "S"}:
        return ""
    return _BY_STATE.get(str(fields.get("state", "")), "")


def line(fields: Mapping[str, Any]) -> str:
    """Heroku's router line for these fields; times are in milliseconds, -1 for a phase that was not reached.

    ``held`` is how long the request waited for a dyno to boot, and ``woken`` the dyno that it then went to.
    """
    error = code(fields)
    connect = sum(max(0, _number(fields, phase)) for phase in ("held", "wait", "connect"))
    tls = str(fields.get("tls") or "")
    words = [
        f'at=error code={error} desc="{DESCRIPTIONS[error]}"' if error else "at=info",
        f"method={_word(fields, 'method')}",
        f'path="{_quoted(fields, "path")}"',
        f"host={_word(fields, 'host')}",
        f"request_id={_word(fields, 'id')}",
        f'fwd="{_quoted(fields, "fwd")}"',
        f"dyno={_word(fields, 'woken') or _word(fields, 'dyno')}",
        f"connect={connect}ms",
        f"service={max(0, _number(fields, 'total') - connect)}ms",
        f"status={_CLIENT.get(error, _number(fields, 'status'))}",
        f"bytes={max(0, _number(fields, 'bytes'))}",
        f"protocol={'https' if tls else 'http'}",
        f"tls=true tls_version={tls.lower().replace('tlsv', 'tls')}" if tls else "tls=false",
    ]
    return " ".join(words)


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
