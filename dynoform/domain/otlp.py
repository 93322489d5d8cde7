"""Log lines as an OTLP request, in its JSON form (https://opentelemetry.io/docs/specs/otlp/#otlphttp).

JSON, because every receiver of OTLP over HTTP has to take it, and Protocol Buffers would need a library.
"""

import json
import re
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

_PATH = "/v1/logs"
_ERROR = re.compile(r"at=error |Error [A-Z]\d\d")
_INFO, _ERRORS = (9, "INFO"), (17, "ERROR")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LINE = re.compile(r"(\S+) (\w+)\[([^\]]*)\]: (.*)", re.DOTALL)


def path(base: str) -> str:
    """Where logs are posted below an endpoint's path, as OTLP's exporters have it."""
    return base if base.endswith(_PATH) else base.rstrip("/") + _PATH


def request(lines: Iterable[bytes], app_id: str, app_name: str, observed: int) -> bytes:
    """An ``ExportLogsServiceRequest``; ``observed`` is now, in nanoseconds since 1970.

    Lines of one dyno, one after the other, share a resource: ``service.name`` is the app, ``service.instance.id`` the
    dyno (https://opentelemetry.io/docs/specs/semconv/resource/).
    """
    groups: list[dict[str, Any]] = []
    places: dict[tuple[str, str], list[Any]] = {}
    for line in lines:
        match = _LINE.fullmatch(line.decode(errors="replace"))
        if match is None:
            continue
        time, source, process, text = match.groups()
        records = places.get((source, process))
        if records is None:
            records = places[source, process] = []
            groups.append(
                {
                    "resource": {"attributes": _resource(app_id, app_name, source, process)},
                    "scopeLogs": [{"scope": {"name": "logplex"}, "logRecords": records}],
                }
            )
        records.append(_record(time, source, text, observed))
    return json.dumps({"resourceLogs": groups}, separators=(",", ":"), ensure_ascii=False).encode()


def _resource(app_id: str, app_name: str, source: str, process: str) -> list[dict[str, Any]]:
    return _attributes(
        {
            "service.name": app_name,
            "service.instance.id": process,
            "heroku.app.id": str(uuid.UUID(app_id)),
            "heroku.app.name": app_name,
            "heroku.source": source,
            "heroku.dyno.name": process,
        }
    )


def _record(time: str, source: str, text: str, observed: int) -> dict[str, Any]:
    number, name = _ERRORS if source == "heroku" and _ERROR.match(text) else _INFO
    return {
        "timeUnixNano": str(_nanoseconds(time) or observed),
        "observedTimeUnixNano": str(observed),
        "severityNumber": number,
        "severityText": name,
        "body": {"stringValue": text},
    }


def _nanoseconds(time: str) -> int:
    try:
        since = datetime.fromisoformat(time) - _EPOCH
    except (ValueError, TypeError):
        return 0
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def _attributes(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"key": key, "value": {"stringValue": value}} for key, value in values.items()]
