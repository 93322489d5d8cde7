"""Logical backups: which are kept, what jobs are told and say, what users may ask for."""

from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import transfers
from dynoform.domain.data_services import Access
from dynoform.domain.transfers import Outcome, Stored
from dynoform.errors import InvalidInputError

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def daily(count: int) -> list[Stored]:
    """One of each of the last days, by the days since."""
    return [Stored(days, NOW - timedelta(days=days, hours=1), True) for days in range(count)]


def test_scheduled_backups_are_kept_for_days_weeks_and_months() -> None:
    essential = set(range(60)) - set(transfers.superfluous(daily(60), "essential-0", NOW))
    assert essential == set(range(7))
    standard = set(range(60)) - set(transfers.superfluous(daily(60), "standard-0", NOW))
    assert standard == {*range(7), 11, 18}, "the last of each of four weeks: this one, and Sundays"
    premium = set(range(400)) - set(transfers.superfluous(daily(400), "premium-0", NOW))
    assert len(premium) == 7 + 6 + 11, "days, further weeks, further months"


def test_captured_backups_are_kept_up_to_a_number_and_none_goes_for_a_scheduled_one() -> None:
    manual = [Stored(f"b{days}", NOW - timedelta(days=days), False) for days in range(30)]
    gone = transfers.superfluous([*manual, *daily(3)], "essential-0", NOW)
    assert gone == [f"b{days}" for days in range(5, 30)]
    assert transfers.superfluous(manual, "standard-0", NOW) == [f"b{days}" for days in range(25, 30)]


@pytest.mark.parametrize(
    ("text", "number"), [("b001", 1), ("a12", 12), ("7", 7), ("R003", 3), ("x1", None), ("", None)]
)
def test_transfers_are_called_by_number(text: str, number: int | None) -> None:
    assert transfers.number(text) == number


@pytest.mark.parametrize(("given", "hour"), [("02", 2), ("23:00", 23), (0, 0)])
def test_hours(given: object, hour: int) -> None:
    assert transfers.hour(given) == hour


@pytest.mark.parametrize("given", ["24", "-1", "noon", "", 99])
def test_hours_that_there_are_not(given: object) -> None:
    with pytest.raises(InvalidInputError, match="hour must be a number from 0 to 23"):
        transfers.hour(given)


def test_databases_are_told_in_libpqs_words() -> None:
    access = Access("127.0.0.1", 5432, "u1", "p1", "d1")
    own = "[to]\nhost=127.0.0.1\nport=5432\nuser=u1\npassword=p1\ndbname=d1\nsslmode=require\n"
    assert transfers.service("to", access) == own
    url = "postgres://u%40x:p%3A1@db.example.com/d%20b?sslmode=require"
    told = "[from]\nhost=db.example.com\nport=5432\nuser=u@x\npassword=p:1\ndbname=d b\nsslmode=require\n"
    assert transfers.external("from", url) == told


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:p@/tmp/d",
        "postgres://u:p%0Ahost=x@h/d",
        "postgres://u:p@h:99999/d",
        "postgres://u:p@h/d%0A",
        "postgres://u:p@h/d?sslmode=verify-full",
        "service=x",
    ],
)
def test_what_is_no_database_or_would_say_more_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="from_url must be"):
        transfers.external("from", url)


@pytest.mark.parametrize(
    "url", ["ftp://h/d", "http:///d", "http://[x", "https://h/\nurl=x", 'https://h/"', "https://h/\\"]
)
def test_dumps_come_by_http(url: str) -> None:
    assert transfers.check_source("https://h:1/d?x=%20") == "https://h:1/d?x=%20"
    with pytest.raises(InvalidInputError, match="backup_url must be"):
        transfers.check_source(url)


def test_what_a_job_says_is_read() -> None:
    said = "@bytes 5\n@bytes 90\npg_dump: warning: x\n\n@warnings 2\n@digest abc\n@bytes many\n"
    assert transfers.outcome(said) == Outcome(90, "abc", 2, ("pg_dump: warning: x",))
    assert transfers.outcome("") == Outcome(0, "", 0, ())
