"""Continuous protection: which backup is due, how far back one can go, what is wrong, what users may ask for."""

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dynoform.domain import protection
from dynoform.domain.data_services import GIB, DataPlan
from dynoform.domain.protection import Backup, Seen, Source, Wanted
from dynoform.errors import InvalidInputError, UnavailableError

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
OLD, NEW = "000000010000000000000004", "000000010000000000000009"


def backup(kind: str, ago: timedelta, segment: str = OLD) -> Backup:
    return Backup(kind, NOW - ago, segment)


def seen(*backups: Backup, newest: str = NEW, **more: object) -> Seen:
    ordered = tuple(sorted(backups, key=lambda each: each.stopped))
    return Seen(NOW, backups=ordered, newest=newest, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plan", "days"), [("essential-0", 2), ("essential-2", 2), ("standard-0", 4), ("premium-9", 7), ("mini", 2)]
)
def test_plans_go_back_as_far_as_herokus_and_essential_two_days(plan: str, days: int) -> None:
    assert protection.days(plan) == days
    text = protection.repository("a-cipher", DataPlan(plan, "", "", 256, 20, 10 * GIB, 32), "repo1-type=s3\n")
    assert text.splitlines() == [
        "[global]",
        "repo1-cipher-pass=a-cipher",
        "repo1-retention-full-type=time",
        f"repo1-retention-full={days}",
        f"archive-push-queue-max={10 * GIB}B",
        "repo1-type=s3",
    ]


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Seen(NOW, code=1, message="missing stanza path"), "full"),
        (Seen(NOW, code=2, message="no valid backups"), "full"),
        (Seen(NOW, code=99, message="other"), None),
        (seen(runs=True), None),
        (seen(backup("full", timedelta(hours=5))), None),
        (seen(backup("full", timedelta(hours=6))), "incr"),
        (seen(backup("full", timedelta(hours=24))), "diff"),
        (seen(backup("full", timedelta(hours=47)), backup("diff", timedelta(hours=23))), "incr"),
        (seen(backup("full", timedelta(hours=47)), backup("incr", timedelta(hours=1))), "diff"),
        (seen(backup("full", timedelta(days=2)), backup("diff", timedelta(hours=1))), "full"),
        (seen(backup("full", timedelta(days=300)), newest=OLD), None),
        (seen(backup("full", timedelta(minutes=1)), newest="000000020000000000000005"), "incr"),
        (seen(backup("full", timedelta(minutes=1)), newest="000000020000000000000005", runs=True), None),
    ],
)
def test_a_backup_is_due_when_the_last_is_old_and_something_was_written(given: Seen, kind: str | None) -> None:
    assert protection.due(given, 2) == kind


def test_the_earliest_moment_is_the_oldest_backups_end_and_no_longer_ago_than_the_plan_has() -> None:
    assert protection.earliest(seen(), 2) is None
    assert protection.earliest(seen(backup("full", timedelta(hours=3))), 2) == NOW - timedelta(hours=3)
    assert protection.earliest(seen(backup("full", timedelta(days=3))), 2) == NOW - timedelta(days=2)


def test_what_is_wrong_is_said_once_and_so_is_its_end() -> None:
    full = backup("full", timedelta(hours=3))
    well = protection.state(seen(full, bytes=5), "essential-0", None)
    assert (well["alarm"], well["earliest"], well["backups"], well["bytes"]) == ("", "2026-11-26T09:00:00+00:00", 1, 5)
    assert protection.lines("pg-1", None, well) == ()
    unreadable = protection.state(Seen(NOW, code=99, message="cipher"), "essential-0", well)
    assert protection.lines("pg-1", well, unreadable) == (
        "source=pg-1 Continuous protection: the repository of backups cannot be read: cipher",
    )
    assert protection.lines("pg-1", unreadable, unreadable) == ()
    assert protection.lines("pg-1", unreadable, well) == ("source=pg-1 Continuous protection: works again",)


def test_a_repository_that_was_lost_is_an_alarm_until_there_is_a_backup_again() -> None:
    before = protection.state(seen(backup("full", timedelta(hours=3))), "essential-0", None)
    for _ in range(2):
        before = protection.state(Seen(NOW, code=1), "essential-0", before)
        assert before["alarm"].startswith("the repository of backups was lost")
        assert before["earliest"] is None
    assert protection.state(seen(backup("full", timedelta())), "essential-0", before)["alarm"] == ""
    assert protection.state(Seen(NOW, code=1), "essential-0", None)["alarm"] == "", "there was none before"


def test_a_repository_at_another_place_begins_anew_and_an_older_one_there_does_not_count() -> None:
    here = protection.state(seen(backup("full", timedelta(hours=3))), "essential-0", protection.at("", None, NOW))
    here |= {"size": {"since": None}, "gaps": [["2026-11-26T09:30:00+00:00", None]], "drill": {"passed": False}}
    assert protection.at("", here, NOW) == here, "it is where it was"
    there = protection.at("s3://x", here, NOW)
    assert there == {"size": {"since": None}, "where": "s3://x", "since": NOW.isoformat()}
    older = protection.remembered(seen(backup("full", timedelta(hours=1))), there)
    assert older.backups == () and protection.due(older, 2) == "full"
    moved = protection.state(older, "essential-0", there)
    assert (moved["alarm"], moved["earliest"], protection.where(moved)) == ("", None, "s3://x")
    both = replace(older, backups=(backup("full", timedelta(hours=1)), backup("full", timedelta(seconds=-9))))
    after = protection.state(protection.remembered(both, moved), "essential-0", moved)
    assert (after["earliest"], after["backups"]) == ((NOW + timedelta(seconds=9)).isoformat(), 1)
    assert protection.at("s3://x", after, NOW + timedelta(hours=1)) == after
    assert protection.where(None) == protection.where({"alarm": ""}) == ""


def test_what_is_left_of_a_destroyed_database_is_said() -> None:
    assert protection.left("pg-1", "s3://x", "it is away") == (
        "source=pg-1 Continuous protection: backups that nobody can read any more are left at s3://x: it is away"
    )


@pytest.mark.parametrize(
    ("more", "alarm"),
    [
        ({"waits_since": NOW - timedelta(minutes=2)}, ""),
        (
            {"waits_since": NOW - timedelta(minutes=4)},
            "changes since 2026-11-26 11:56:00 UTC are not in the repository: its disk may be full or away",
        ),
        ({"failure": "ERROR: [082]"}, "the last backup failed: ERROR: [082]"),
    ],
)
def test_wal_that_waits_and_backups_that_fail_are_alarms(more: dict[str, Any], alarm: str) -> None:
    assert protection.alarm(seen(backup("full", timedelta(hours=1)), **more), had=True) == alarm


def test_changes_that_were_dropped_are_an_alarm_a_full_backup_and_a_gap_that_nobody_goes_into() -> None:
    first = backup("full", timedelta(hours=3))
    since = NOW - timedelta(hours=1)
    gap = seen(first, dropped_since=since, waits_since=since)
    assert protection.due(gap, 2) == "full"
    assert protection.due(seen(first, dropped_since=since, code=99), 2) is None, "it would be of no use"
    before = protection.state(gap, "essential-0", protection.state(seen(first), "essential-0", None))
    assert before["alarm"] == (
        "changes since 2026-11-26 11:00:00 UTC were dropped to save the disk: the repository took none, "
        "a full backup is made"
    )
    assert before["gaps"] == [[since.isoformat(), None]]
    assert protection.state(gap, "essential-0", before)["gaps"] == before["gaps"]
    with pytest.raises(InvalidInputError, match="pg-1 has no backup since changes were dropped: heroku pg:info says"):
        protection.check_source("pg-1", before, None, NOW)
    protection.check_source("pg-1", before, since - timedelta(minutes=1), NOW)

    again = backup("full", timedelta(minutes=10))
    after = protection.state(seen(first, again), "essential-0", before)
    assert (after["alarm"], after["gaps"]) == ("", [[since.isoformat(), again.stopped.isoformat()]])
    protection.check_source("pg-1", after, None, NOW)
    protection.check_source("pg-1", after, NOW - timedelta(minutes=5), NOW)
    expected = "pg-1 cannot go to 2026-11-26 11:30:00 UTC: changes from 2026-11-26 11:00:00 UTC were dropped"
    with pytest.raises(InvalidInputError, match=expected):
        protection.check_source("pg-1", after, NOW - timedelta(minutes=30), NOW)
    assert protection.state(seen(again), "essential-0", after)["gaps"] == [], "nobody can go back to before it"


def test_what_a_primary_dropped_is_known_once_another_one_is_primary_until_there_is_a_full_backup() -> None:
    first = backup("full", timedelta(hours=3))
    since = NOW - timedelta(hours=1)
    before = protection.state(seen(first, dropped_since=since), "premium-0", None)
    other = protection.remembered(seen(first), before)
    assert (other.dropped_since, protection.due(other, 7)) == (since, "full")
    assert protection.state(other, "premium-0", before)["gaps"] == [[since.isoformat(), None]]
    again = backup("full", timedelta(minutes=10))
    whole = protection.remembered(seen(first, again), before)
    assert whole.dropped_since is None
    assert protection.state(whole, "premium-0", before)["gaps"] == [[since.isoformat(), again.stopped.isoformat()]]
    for nothing in (None, {}, protection.state(whole, "premium-0", before)):
        assert protection.remembered(seen(first), nothing).dropped_since is None


def test_a_drill_is_shown_and_one_that_failed_is_an_alarm_until_another_passes() -> None:
    full = seen(backup("full", timedelta(hours=1)))
    said = 'x\n@drill {"tables": 3, "relations": 420, "bytes": 8388608, "seconds": 12}\n'
    passed = protection.drilled(said, "", NOW)
    assert passed == {"at": NOW.isoformat(), "passed": True, "says": "3 tables, 8.0 MB, in 12 s"}
    failed = protection.drilled("", "restore: a block is not what was written", NOW)
    state = protection.state(full, "essential-0", None, failed)
    assert state["alarm"] == "the restore drill failed: restore: a block is not what was written"
    assert protection.state(full, "essential-0", state)["alarm"] == state["alarm"], "until there is another"
    again = protection.state(full, "essential-0", state, passed)
    assert (again["alarm"], again["drill"]) == ("", passed)
    assert protection.drilled("", "", NOW)["says"] == "it said nothing"


def test_a_silent_server_keeps_what_is_known_of_its_repository() -> None:
    before = protection.state(seen(backup("full", timedelta(hours=3))), "essential-0", None)
    after = protection.silent("has no running container", before)
    assert after["earliest"] == before["earliest"]
    assert after["alarm"] == "backups could not be looked at: has no running container"


def test_looks_are_at_the_same_moments_for_all_and_soon_while_a_backup_is_made() -> None:
    moments = {protection.next_look(NOW + timedelta(seconds=each), runs=False) for each in (1, 100, 599)}
    assert moments == {NOW + timedelta(minutes=10)}
    assert protection.next_look(NOW, runs=False) == NOW + timedelta(minutes=10)
    assert protection.next_look(NOW, runs=True) == NOW + timedelta(seconds=5)


def test_what_the_program_prints_is_read() -> None:
    text = (
        '{"now" : "2026-11-26T12:00:00.5+00:00", "waits_since" : null}\n'
        '[{"archive":[{"max":"000000010000000000000009","min":"000000010000000000000003"}],"backup":[{"archive":'
        '{"start":"000000010000000000000003","stop":"000000010000000000000004"},"info":{"repository":{"delta":42}},'
        '"timestamp":{"start":1779790000,"stop":1779790002},"type":"full"}],"status":{"code":0,"message":"ok",'
        '"lock":{"backup":{"held":true}}}}]\nERROR: [055]: was\n  not there\n'
    )
    found = protection.read(text)
    assert found.backups == (Backup("full", datetime.fromtimestamp(1779790002, UTC), OLD),)
    assert (found.newest, found.bytes, found.runs, found.failure) == (NEW, 42, True, "ERROR: [055]: was not there")


def test_a_repository_says_why_it_cannot_be_read_in_one_line() -> None:
    said = "[ProtocolError] HTTP request failed with 403 (Forbidden):\n*** Path/Query ***:\nGET /"
    status = {"code": 99, "message": "other", "lock": {"backup": {"held": False}}}
    repositories = [{"status": {"code": 99, "message": said}}]
    stanza = {"backup": [], "archive": [], "repo": repositories, "status": status}
    found = protection.read(f'{{"now": "{NOW.isoformat()}"}}\n{json.dumps([stanza])}\n')
    assert found.message == "[ProtocolError] HTTP request failed with 403 (Forbidden)"


@pytest.mark.parametrize("text", ["", "{}\n[]\n", '{"now": "x"}\n[{}]\n', "psql: error\n[]\n"])
def test_what_cannot_be_read_is_tried_again(text: str) -> None:
    with pytest.raises(UnavailableError, match="says nothing that can be read"):
        protection.read(text)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, None),
        ({"version": "17"}, None),
        ({"fork": "DATABASE_URL", "fast": "true"}, Wanted("DATABASE_URL")),
        ({"rollback": "DATABASE", "to": "2026-11-26 11:59:07"}, Wanted("DATABASE", NOW - timedelta(seconds=53))),
        ({"rollback": "DATABASE", "to": "2026-11-26 11:59:07 UTC"}, Wanted("DATABASE", NOW - timedelta(seconds=53))),
        ({"rollback": "DATABASE", "to": "2026-11-26T12:59:07+01:00"}, Wanted("DATABASE", NOW - timedelta(seconds=53))),
        ({"rollback": "DATABASE", "by": "1 day 7 hours"}, Wanted("DATABASE", NOW - timedelta(hours=31))),
    ],
)
def test_options_say_what_a_new_database_is_made_from(options: dict[str, str], wanted: Wanted | None) -> None:
    assert protection.wanted(options, NOW) == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"forks": "X"}, "forks is no option of heroku-postgresql: use fork, follow, rollback, to, by"),
        ({"version": "12"}, "PostgreSQL 17 is the version that there is"),
        ({"to": "2026-11-26 11:59"}, "Say which database goes back to that time, by --rollback"),
        ({"rollback": "X"}, "Say by --to or by --by, such as '3 hours', how far back"),
        ({"rollback": "X", "to": "2026-11-26", "by": "1"}, "Say by --to or by --by, such as '3 hours', how far back"),
        ({"rollback": "X", "to": "yesterday"}, "--to is a time such as '2026-11-26 13:45:10 UTC'"),
        ({"rollback": "X", "to": "9999-12-31T23:59:00-23:59"}, "--to is a time such as '2026-11-26 13:45:10 UTC'"),
        ({"rollback": "X", "by": "a while"}, "--by is a time such as '3 days 7 hours'"),
        ({"rollback": "X", "by": "999999 days"}, "--by is a time such as '3 days 7 hours'"),
        ({"rollback": "X", "by": "999999 days" * 2000}, "--by is a time such as '3 days 7 hours'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"^{message}$"):
        protection.wanted(options, NOW)


def test_a_time_that_is_not_in_the_repository_is_refused() -> None:
    state = protection.state(seen(backup("full", timedelta(hours=3))), "essential-0", None)
    protection.check_source("pg-1", state, None, NOW)
    protection.check_source("pg-1", state, NOW - timedelta(hours=3), NOW)
    for found, to, message in (
        (None, None, "pg-1 has no backup yet: try again in a minute, heroku pg:info says when"),
        (state, NOW - timedelta(hours=4), "pg-1 can go back to 2026-11-26 09:00:00 UTC and no further"),
        (
            state,
            NOW + timedelta(seconds=1),
            "pg-1 cannot go to 2026-11-26 12:00:01 UTC, which is to come: leave out --to for now",
        ),
    ):
        with pytest.raises(InvalidInputError, match=f"^{message}$"):
            protection.check_source("pg-1", found, to, NOW)


def test_a_source_comes_through_the_options_as_it_was() -> None:
    for source in (Source(uuid.uuid4()), Source(uuid.uuid4(), NOW - timedelta(microseconds=1))):
        assert protection.source(protection.options(source)) == source
    assert protection.source({}) is None
