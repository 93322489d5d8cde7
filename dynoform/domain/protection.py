"""Continuous protection of databases: which backup is due, what a database can be rolled back to, what is wrong. Pure.

A repository has base backups (full, then differential to it, then incremental) and all WAL since the oldest of them, so
that any second in between can be had again (https://pgbackrest.org/user-guide.html). How far back is Heroku's
(https://devcenter.heroku.com/articles/heroku-postgres-rollback), and two days where Heroku has nothing.
"""

import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from dynoform.domain import data_limits
from dynoform.domain.data_services import DataPlan, size
from dynoform.errors import InvalidInputError, UnavailableError

FULL, DIFFERENTIAL, INCREMENTAL = "full", "diff", "incr"
DIFFERENTIAL_EVERY = timedelta(days=1)
INCREMENTAL_EVERY = timedelta(hours=6)
LOOK_EVERY = timedelta(minutes=10)
"""How often a repository is looked at; at the same moments for all, so that one shift does for them."""
PATIENCE = timedelta(minutes=3)
"""How long WAL may wait to be archived: a minute is usual, as that is when a segment is closed."""
DRILL_FIRST, DRILL_EVERY = timedelta(hours=1), timedelta(days=7)
"""When after the first backup the latest one is restored for a trial, and how often then."""
OPTIONS = ("fork", "rollback", "to", "by", "fast", "version")
"""Of ``addons:create``."""

_DAYS = {"standard": 4, "premium": 7}
_ESSENTIAL_DAYS = 2
_OK, _NO_STANZA, _NO_BACKUP, _NO_DATA = 0, 1, 2, 3
_EMPTY = (_NO_STANZA, _NO_BACKUP, _NO_DATA)
_TIMELINE = 8
"""So many digits at the beginning of a segment's name say which timeline it is of."""
_BY = re.compile(r"(\d{1,6})\s*(day|hour|minute|second)s?\s*")


@dataclass(frozen=True)
class Backup:
    """A base backup: of which kind, when it was whole, and the last WAL segment that it needs."""

    kind: str
    stopped: datetime
    segment: str


@dataclass(frozen=True)
class Seen:
    """What a server and its repository say.

    Parameters:
        now: the server's time.
        code, message: the repository's state, as pgBackRest has it; 0 is well.
        newest: the last WAL segment in it.
        bytes: what all its backups have, compressed.
        runs: whether a backup is being made.
        waits_since: since when WAL waits to be archived.
        failure: why the last backup came to nothing; empty when it did not.
        dropped_since: since when changes were dropped that the repository did not take; None when none were since the
            last full backup.
        data_bytes: what its databases have on disk.
        revoked: whether INSERT was taken from its users, see ``data_limits``.
    """

    now: datetime
    code: int = _OK
    message: str = ""
    backups: tuple[Backup, ...] = ()
    newest: str = ""
    bytes: int = 0
    runs: bool = False
    waits_since: datetime | None = None
    failure: str = ""
    dropped_since: datetime | None = None
    data_bytes: int = 0
    revoked: bool = False


@dataclass(frozen=True)
class Source:
    """What a new database is made from: another one's repository, as it was at a time; None for now."""

    addon_id: uuid.UUID
    to: datetime | None = None


@dataclass(frozen=True)
class Wanted:
    """What ``addons:create`` was told: of which database, and of when; None for now."""

    reference: str
    to: datetime | None = None


def days(plan: str) -> int:
    """How many days back a database of this plan can be rolled."""
    return _DAYS.get(plan.partition("-")[0], _ESSENTIAL_DAYS)


def repository(cipher: str, plan: DataPlan, elsewhere: str = "") -> str:
    """What opens a repository and says how long it keeps: a file of pgBackRest's configuration, a secret.

    ``elsewhere`` is where it is, by ``backup_repositories.lines``; a volume beside the database otherwise.
    """
    kept = f"repo1-retention-full-type=time\nrepo1-retention-full={days(plan.name)}\n"
    queue = f"archive-push-queue-max={data_limits.queue_bytes(plan.disk_bytes)}B\n"
    return f"[global]\nrepo1-cipher-pass={cipher}\n{kept}{queue}{elsewhere}"


def read(said: str) -> Seen:
    """What ``images/postgres/protect state`` printed: a line of the server's, one of the repository's, a failure.

    Raises ``UnavailableError`` for anything else.
    """
    try:
        server, stanzas, *rest = said.splitlines()
        archiver, (stanza,) = json.loads(server), json.loads(stanzas)
        backups = tuple(_backup(each) for each in stanza["backup"])
        kept = [each["info"]["repository"] for each in stanza["backup"]]
        return Seen(
            now=datetime.fromisoformat(archiver["now"]),
            code=int(stanza["status"]["code"]),
            message=_message(stanza),
            backups=tuple(sorted(backups, key=lambda each: each.stopped)),
            newest=max((str(each["max"]) for each in stanza.get("archive") or () if each.get("max")), default=""),
            bytes=sum(int(each.get("delta") or 0) for each in kept),
            runs=bool(stanza["status"]["lock"]["backup"]["held"]),
            waits_since=datetime.fromisoformat(archiver["waits_since"]) if archiver.get("waits_since") else None,
            failure=" ".join(" ".join(rest).split())[:300],
            dropped_since=_seconds(archiver.get("dropped")),
            data_bytes=int(archiver.get("data_bytes") or 0),
            revoked=bool(archiver.get("revoked")),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UnavailableError("repository of backups", "says nothing that can be read", "it is tried again") from error


def where(state: Mapping[str, Any] | None) -> str:
    """Where a repository was at a look, by ``backup_repositories.where``; empty for a volume, or without a look."""
    return str((state or {}).get("where") or "")


def at(place: str, before: Mapping[str, Any] | None, now: datetime) -> Mapping[str, Any]:
    """What holds of the last look, ``before``, for a repository that is at ``place``, as ``where`` has it.

    Where it was at another place, nothing that was there can be had any more, and what is here from an earlier time
    has a hole after it: it begins ``now``.
    """
    if not before or where(before) == place:
        return {**(before or {}), "where": place}
    size = {"size": before["size"]} if "size" in before else {}
    return {**size, "where": place, "since": now.isoformat()}


def remembered(seen: Seen, before: Mapping[str, Any] | None) -> Seen:
    """What is seen, and what was dropped before: a server that has taken over from another one does not know of it.

    ``before`` is the state of the last look, see ``at``: backups from before the time that it begins with do not count.
    """
    if begin := (before or {}).get("since"):
        since = datetime.fromisoformat(begin)
        seen = replace(seen, backups=tuple(each for each in seen.backups if each.stopped >= since))
    gaps = (before or {}).get("gaps") or ()
    if seen.dropped_since or not gaps or gaps[-1][1] is not None:
        return seen
    since = datetime.fromisoformat(gaps[-1][0])
    is_over = any(each.kind == FULL and each.stopped > since for each in seen.backups)
    return seen if is_over else replace(seen, dropped_since=since)


def due(seen: Seen, days: int) -> str | None:
    """The kind of backup to make now; None for none. A database in which nothing happens needs no further one."""
    if seen.runs or seen.code not in (_OK, *_EMPTY):
        return None
    if not seen.backups or seen.dropped_since:
        return FULL
    last = seen.backups[-1]
    if seen.newest <= last.segment:
        return None
    ages = [(FULL, timedelta(days=days), (FULL,)), (DIFFERENTIAL, DIFFERENTIAL_EVERY, (FULL, DIFFERENTIAL))]
    for kind, every, kinds in ages:
        latest = max((each.stopped for each in seen.backups if each.kind in kinds), default=None)
        if latest is None or seen.now - latest >= every:
            return kind
    if seen.newest[:_TIMELINE] != last.segment[:_TIMELINE]:
        # Another server is primary since then: what the one before had not handed over may never come.
        return INCREMENTAL
    return INCREMENTAL if seen.now - last.stopped >= INCREMENTAL_EVERY else None


def earliest(seen: Seen, days: int) -> datetime | None:
    """The first moment that can be had again; None for none."""
    if not seen.backups:
        return None
    return max(seen.backups[0].stopped, seen.now - timedelta(days=days))


def alarm(seen: Seen, *, had: bool, drill: Mapping[str, Any] | None = None) -> str:
    """What is wrong; empty when nothing is.

    ``had`` says whether the repository had backups before; ``drill`` is what the last drill came to.
    """
    if seen.code not in (_OK, *_EMPTY):
        return f"the repository of backups cannot be read: {seen.message}"[:300]
    if had and not seen.backups:
        return "the repository of backups was lost: what was before cannot be had again, a new full backup is made"
    if seen.dropped_since:
        since = moment(seen.dropped_since)
        return f"changes since {since} were dropped to save the disk: the repository took none, a full backup is made"
    if seen.waits_since and seen.now - seen.waits_since > PATIENCE:
        return f"changes since {moment(seen.waits_since)} are not in the repository: its disk may be full or away"
    if seen.failure:
        return f"the last backup failed: {seen.failure}"
    if drill and not drill["passed"]:
        return f"the restore drill failed: {drill['says']}"
    return ""


def drilled(said: str, failure: str, now: datetime) -> dict[str, Any]:
    """What a drill came to, by what its job said, see ``images/postgres/restore``, and why it failed."""
    line = next((each for each in said.splitlines() if each.startswith("@drill ")), "")
    if failure or not line:
        return {"at": now.isoformat(), "passed": False, "says": (failure or "it said nothing")[-200:]}
    told = json.loads(line.removeprefix("@drill "))
    says = f"{told['tables']} tables, {size(int(told['bytes']))}, in {told['seconds']} s"
    return {"at": now.isoformat(), "passed": True, "says": says}


def state(
    seen: Seen, plan: str, before: Mapping[str, Any] | None, drill: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What is kept of a look, for ``pg:info``; ``before`` is that of the last one, ``drill`` one that has ended."""
    drill = drill or (before or {}).get("drill")
    first = earliest(seen, days(plan))
    # What was lost stays lost until there is a backup again.
    had = bool(before and (before.get("earliest") or before.get("lost")))
    return {
        "alarm": alarm(seen, had=had, drill=drill),
        "earliest": first.isoformat() if first else None,
        "backups": len(seen.backups),
        "last": seen.backups[-1].stopped.isoformat() if seen.backups else None,
        "bytes": seen.bytes,
        "lost": had and not seen.backups,
        "drill": drill,
        "gaps": _gaps(seen, before, first),
        "where": where(before),
        "since": (before or {}).get("since"),
    }


def _gaps(seen: Seen, before: Mapping[str, Any] | None, first: datetime | None) -> list[list[str | None]]:
    """From when to when changes were dropped, the last one without an end until there is a full backup again."""
    found = [list(each) for each in (before or {}).get("gaps") or ()]
    if seen.dropped_since and not (found and found[-1][1] is None):
        found.append([seen.dropped_since.isoformat(), None])
    elif not seen.dropped_since and found and found[-1][1] is None:
        full = [each.stopped for each in seen.backups if each.kind == FULL]
        found[-1][1] = (full[-1] if full else seen.now).isoformat()
    return [each for each in found if each[1] is None or first is None or datetime.fromisoformat(each[1]) > first]


def silent(why: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state of a database that says nothing."""
    return off(f"backups could not be looked at: {why}", before)


def off(why: str, before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state of a database of which nothing is looked at."""
    return {**(before or {}), "alarm": why[:300]}


def left(addon: str, place: str, why: str) -> str:
    """What logs are told of a repository that stays where it is while its database goes."""
    return f"source={addon} Continuous protection: backups that nobody can read any more are left at {place}: {why}"


def next_look(now: datetime, *, runs: bool) -> datetime:
    """When to look again: soon while a backup is made, else at the next tenth minute of the clock."""
    if runs:
        return now + timedelta(seconds=5)
    step = LOOK_EVERY.total_seconds()
    return datetime.fromtimestamp((math.floor(now.timestamp() / step) + 1) * step, UTC)


def lines(addon: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Sequence[str]:
    """What the app's log is told: an alarm when it comes or becomes another, and its end."""
    was, now = (before or {}).get("alarm") or "", after.get("alarm") or ""
    if now == was:
        return ()
    if now:
        return (f"source={addon} Continuous protection: {now}",)
    return (f"source={addon} Continuous protection: works again",)


def wanted(options: Mapping[str, str], now: datetime) -> Wanted | None:
    """What a new database is to be made from by the options of ``addons:create``; None for an empty one.

    Raises ``InvalidInputError`` for options that make no sense.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise InvalidInputError(
            f"{unknown[0][:40]} is no option of heroku-postgresql: use fork, follow, rollback, to, by"
        )
    if options.get("version", "17") != "17":
        raise InvalidInputError("PostgreSQL 17 is the version that there is")
    if "rollback" in options:
        return Wanted(options["rollback"], _time(options, now))
    if "to" in options or "by" in options:
        raise InvalidInputError("Say which database goes back to that time, by --rollback")
    return Wanted(options["fork"]) if "fork" in options else None


def check_source(name: str, found: Mapping[str, Any] | None, to: datetime | None, now: datetime) -> None:
    """Raise ``InvalidInputError`` unless ``name``, whose state ``found`` is, can be had as it was at ``to``."""
    first = (found or {}).get("earliest")
    if not first:
        raise InvalidInputError(f"{name} has no backup yet: try again in a minute, heroku pg:info says when")
    gaps = (found or {}).get("gaps") or ()
    if to is None:
        if gaps and gaps[-1][1] is None:
            raise InvalidInputError(f"{name} has no backup since changes were dropped: heroku pg:info says when it has")
        return
    if to > now:
        raise InvalidInputError(f"{name} cannot go to {moment(to)}, which is to come: leave out --to for now")
    if to < datetime.fromisoformat(first):
        raise InvalidInputError(f"{name} can go back to {moment(datetime.fromisoformat(first))} and no further")
    for begin, end in gaps:
        after = datetime.fromisoformat(begin)
        until = datetime.fromisoformat(end) if end else now
        if after < to < until:
            raise InvalidInputError(f"{name} cannot go to {moment(to)}: changes from {moment(after)} were dropped")


def options(source: Source) -> dict[str, str]:
    """What the provider is told of a source."""
    return {"source": str(source.addon_id), **({"to": source.to.isoformat()} if source.to else {})}


def source(options: Mapping[str, str]) -> Source | None:
    """The source that ``options`` were made of."""
    if "source" not in options:
        return None
    return Source(uuid.UUID(options["source"]), datetime.fromisoformat(options["to"]) if "to" in options else None)


def moment(time: datetime) -> str:
    """A time as ``pg:info`` shows it."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _seconds(found: int | None) -> datetime | None:
    return None if found is None else datetime.fromtimestamp(found, UTC)


def _message(stanza: Mapping[str, Any]) -> str:
    """Why a repository is as it is: the first line, as those below may be others each time."""
    status = stanza["status"]
    said = [each["status"]["message"] for each in stanza.get("repo") or () if each["status"]["code"] == status["code"]]
    lines = str(said[0] if said else status["message"]).splitlines()
    return lines[0].rstrip(":") if lines else ""


def _backup(found: Mapping[str, Any]) -> Backup:
    stopped = datetime.fromtimestamp(int(found["timestamp"]["stop"]), UTC)
    return Backup(str(found["type"]), stopped, str(found["archive"]["stop"] or ""))


def _time(options: Mapping[str, str], now: datetime) -> datetime:
    if ("to" in options) == ("by" in options):
        raise InvalidInputError("Say by --to or by --by, such as '3 hours', how far back")
    if "by" in options:
        text = options["by"].strip().lower()
        parts = _BY.findall(text)
        if not parts or _BY.sub("", text):
            raise InvalidInputError("--by is a time such as '3 days 7 hours'")
        try:
            return now - sum((timedelta(**{f"{unit}s": int(count)}) for count, unit in parts), timedelta())
        except OverflowError:
            raise InvalidInputError("--by is a time such as '3 days 7 hours'") from None
    text = options["to"].strip().removesuffix("UTC").strip()
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError("--to is a time such as '2026-11-26 13:45:10 UTC'") from None
