"""Telemetry drains: what may be sent where (https://devcenter.heroku.com/articles/heroku-telemetry)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from dynoform.domain import log_drains
from dynoform.domain.log_drains import Places
from dynoform.errors import InvalidInputError

MAXIMUM_PER_APP = 5
SIGNALS = ("traces", "metrics", "logs")
LOGS = "logs"
OTLPHTTP = "otlphttp"
_MOST_HEADERS = 20
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,1998}[\x21-\x7e])?")
_OURS = {"host", "content-length", "content-type", "transfer-encoding", "connection"}


@dataclass(frozen=True)
class Exporter:
    """Where telemetry goes; ``headers`` are sent with it, and may be keys."""

    endpoint: str
    headers: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        """What of it is shown: headers by their names."""
        hidden = dict.fromkeys(self.headers, log_drains.HIDDEN)
        return {"endpoint": log_drains.shown(self.endpoint), "headers": hidden, "type": OTLPHTTP}


def check_signals(signals: Sequence[str]) -> list[str]:
    """The signals, each once. Raises ``InvalidInputError`` for none, or for one that does not exist."""
    unknown = [signal for signal in signals if signal not in SIGNALS]
    if unknown or not signals:
        raise InvalidInputError(f"Signals must be some of: {', '.join(SIGNALS)}.")
    return [signal for signal in SIGNALS if signal in signals]


def check_exporter(kind: str, endpoint: str, headers: Mapping[str, str], places: Places) -> Exporter:
    """The exporter. Raises ``InvalidInputError`` for what is not OTLP over HTTPS to a place that may get logs."""
    if kind != OTLPHTTP:
        raise InvalidInputError(f"Exporter type must be {OTLPHTTP}: OTLP is sent over HTTPS here, not over gRPC.")
    log_drains.check(endpoint, places)
    if urlsplit(endpoint).scheme != "https":
        raise InvalidInputError("Url is invalid: it must start with https://")
    if len(headers) > _MOST_HEADERS:
        raise InvalidInputError(f"Headers must be {_MOST_HEADERS} or fewer.")
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or name.lower() in _OURS:
            raise InvalidInputError(f"Headers cannot have {name[:60]!r}: use names that are an HTTP header's.")
        if not _VALUE.fullmatch(value):
            raise InvalidInputError(f"Headers have a value for {name} that is not 1 to 2000 printable characters.")
    return Exporter(endpoint, dict(headers))
