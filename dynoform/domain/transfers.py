"""Logical backups: what they are called, which are kept, what a job is told, what it says. Pure.

A transfer is a backup (from a database to the store of backups), a restore, or a copy (from database to database), as
Heroku's CLI has them. How many are kept is Heroku's
(https://devcenter.heroku.com/articles/heroku-postgres-backups#scheduled-backups-retention-limits).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

from dynoform.domain.data_services import Access
from dynoform.errors import InvalidInputError

DUMP, STORED, RESTORED = "pg_dump", "gof3r", "pg_restore"
"""Words of the CLI's for where a transfer comes from or goes to: a database, the store, a database."""
FOLDER = "/var/lib/dynoform/backups"
"""Where jobs have the store of backups; their image has the folder."""
DAILY = timedelta(days=7)
SECONDS = 12 * 3600
"""How long a transfer may take."""
LINK_SECONDS = 3600
"""How long a public URL works."""
STORE = "backup://"
"""Where a backup is, for those who restore it; no address that anything connects to."""
_SSL = ("disable", "allow", "prefer", "require")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?")
_NUMBER = re.compile(r"[abcr]?(\d{1,9})", re.IGNORECASE)


@dataclass(frozen=True)
class Kept:
    """How many backups of a database are kept: those that somebody captured, and weeks and months of scheduled ones."""

    manual: int
    weeks: int
    months: int


_KEPT = {"essential": Kept(5, 1, 0), "standard": Kept(25, 4, 0), "premium": Kept(50, 8, 12)}


@dataclass(frozen=True)
class Stored:
    """A backup that is there."""

    identifier: object
    made: datetime
    scheduled: bool


@dataclass(frozen=True)
class Outcome:
    """How far a job is: bytes written, its digest when it is done, warnings, and the last lines that it said."""

    processed: int
    digest: str
    warnings: int
    lines: tuple[str, ...]


def kept(plan: str) -> Kept:
    """What a plan keeps."""
    return _KEPT.get(plan.partition("-")[0], _KEPT["essential"])


def superfluous(backups: Iterable[Stored], plan: str, now: datetime) -> list[object]:
    """Those to remove: manual ones beyond the number, scheduled ones that are no day's, week's or month's to keep."""
    limits = kept(plan)
    ordered = sorted(backups, key=lambda each: each.made, reverse=True)
    manual = [each for each in ordered if not each.scheduled]
    scheduled = [each for each in ordered if each.scheduled]
    saved = {each.identifier for each in scheduled if now - each.made < DAILY}
    saved |= _firsts(scheduled, limits.weeks, lambda day: day.isocalendar()[:2])
    saved |= _firsts(scheduled, limits.months, lambda day: (day.year, day.month))
    gone = [each.identifier for each in manual[limits.manual :]]
    return gone + [each.identifier for each in scheduled if each.identifier not in saved]


def _firsts(scheduled: Sequence[Stored], count: int, period: Callable[[date], tuple[int, ...]]) -> set[object]:
    """The last one of each of the ``count`` newest periods that have one."""
    newest: dict[tuple[int, ...], object] = {}
    for each in scheduled:
        newest.setdefault(period(each.made.date()), each.identifier)
    return set(list(newest.values())[:count])


def number(reference: str) -> int | None:
    """The number of a transfer called ``b001``, ``a2`` or ``3``; None for something else."""
    found = _NUMBER.fullmatch(reference)
    return int(found[1]) if found else None


def hour(given: object) -> int:
    """The hour of a schedule. Raises ``InvalidInputError``."""
    text = str(given).partition(":")[0]
    if not text.isdecimal() or not 0 <= int(text) < 24:
        raise InvalidInputError("hour must be a number from 0 to 23")
    return int(text)


def service(name: str, access: Access) -> str:
    """How a job finds a database, by libpq's connection service file; from beside the server where ``access`` says."""
    return _section(name, access.host, access.port, access.user, access.password, access.database, "require")


def external(name: str, url: str) -> str:
    """The same for a database anywhere, by its URL. Raises ``InvalidInputError`` for what is none."""
    try:
        parts = urlsplit(url)
        port = parts.port or 5432
    except ValueError:
        raise InvalidInputError("from_url must be postgres://user:password@host:port/database") from None
    database = unquote(parts.path[1:])
    mode = parse_qs(parts.query).get("sslmode", ["prefer"])[-1]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if (
        parts.scheme not in ("postgres", "postgresql")
        or not _HOST.fullmatch(parts.hostname or "")
        or not database
        or mode not in _SSL
        or any(not text.isprintable() for text in (user, password, database))
    ):
        raise InvalidInputError("from_url must be postgres://user:password@host:port/database")
    return _section(name, str(parts.hostname), port, user, password, database, mode)


def _section(name: str, host: str, port: int, user: str, password: str, database: str, mode: str) -> str:
    values = {"host": host, "port": port, "user": user, "password": password, "dbname": database, "sslmode": mode}
    return f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items() if value != "")


def check_source(url: str) -> str:
    """An address that a dump is fetched from. Raises ``InvalidInputError`` for what is none."""
    printable = url.isprintable() and '"' not in url and "\\" not in url
    try:
        parts = urlsplit(url)
        fetched = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fetched = False
    if not fetched or not printable:
        raise InvalidInputError("backup_url must be a backup of an app, or an http(s) URL of a dump")
    return url


def outcome(said: str) -> Outcome:
    """What a job has said so far, see ``images/postgres/transfer``."""
    processed, digest, warnings, lines = 0, "", 0, []
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        if word == "@bytes" and rest.isdecimal():
            processed = int(rest)
        elif word == "@digest":
            digest = rest
        elif word == "@warnings" and rest.isdecimal():
            warnings = int(rest)
        elif line.strip() and not word.startswith("@"):
            lines.append(line.strip()[:500])
    return Outcome(processed, digest, warnings, tuple(lines[-50:]))
