import uuid
from datetime import UTC, datetime, timedelta

import pytest

from dynoform.domain import acm
from dynoform.domain.acm import Lifetime, Window
from dynoform.domain.served_certificates import Entry, entries

START = datetime(2026, 1, 1, tzinfo=UTC)
SUBJECTS = [uuid.UUID(int=number) for number in range(0, 1000, 37)]


@pytest.mark.parametrize("days", [90, 64, 45, 6])
def test_without_a_suggestion_a_certificate_is_renewed_when_a_third_of_its_life_is_left(days: int) -> None:
    lifetime = Lifetime(START, START + timedelta(days=days))
    moments = {acm.renewal(subject, lifetime, None) for subject in SUBJECTS}
    third = timedelta(days=days) / 3
    assert all(third <= lifetime.expires_at - moment <= third + timedelta(days=days) / 20 for moment in moments)
    assert len(moments) == len(SUBJECTS)  # not all at once
    assert moments == {acm.renewal(subject, lifetime, None) for subject in SUBJECTS}


def test_a_suggestion_counts_unless_it_comes_too_late() -> None:
    lifetime, subject = Lifetime(START, START + timedelta(days=60)), uuid.uuid4()
    early = START + timedelta(days=3)
    assert acm.renewal(subject, lifetime, early) == early
    assert acm.renewal(subject, lifetime, START + timedelta(days=70)) == START + timedelta(days=50)


def test_a_moment_of_the_window_is_chosen_once() -> None:
    window = Window(START, START + timedelta(days=2))
    chosen = {acm.choose(window, None) for _ in range(20)}
    assert len(chosen) > 10 and all(window.start <= moment <= window.end for moment in chosen)
    moment = START + timedelta(days=1)
    assert acm.choose(window, moment) == moment
    assert window.start <= acm.choose(window, START - timedelta(days=1)) <= window.end


@pytest.mark.parametrize(("said", "hours"), [(None, 6), (1, 1), (7200, 2), (10**9, 24)])
def test_the_authority_is_asked_again_within_reason(said: float | None, hours: int) -> None:
    assert acm.ask_again(said) == timedelta(hours=hours)


def test_tries_are_further_apart_each_time_and_of_five_in_an_hour_none_is_the_sixth() -> None:
    waits = [acm.delay(failures) for failures in range(1, 12)]
    for wait, usual in zip(waits, acm.DELAYS, strict=False):
        assert usual <= wait <= usual * 1.2
    assert sum(acm.DELAYS[:4], timedelta()) > timedelta(hours=1)  # the fifth
    assert all(wait >= timedelta(days=1) for wait in waits[6:])
    assert len({acm.delay(3) for _ in range(10)}) > 1


def test_a_domain_without_a_certificate_has_failed_in_the_end() -> None:
    last = len(acm.DELAYS)
    assert acm.status(last - 1, has_certificate=False) == acm.FAILING
    assert acm.status(last, has_certificate=False) == acm.FAILED
    assert acm.status(last + 100, has_certificate=True) == acm.FAILING


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("unauthorized", "CDN not returning HTTP challenge"),
        ("incorrectResponse", "CDN not returning HTTP challenge"),
        ("connection", "Nothing answers on port 80 of a.example"),
        ("tls", "https of a.example, where its http leads to, does not work"),
        ("dns", "The DNS of a.example does not answer"),
        ("caa", "A CAA record of a.example lets other authorities alone issue its certificates"),
        ("rejectedIdentifier", "The certificate authority issues no certificates for a.example"),
        ("", "too many of them"),
    ],
)
def test_reasons_say_what_the_owner_can_do_something_about(code: str, said: str) -> None:
    assert acm.reason(code, "too many\nof  them", "a.example") == said
    assert len(acm.reason("", "x" * 1000, "a")) == 200


def test_entries_of_one_content_have_one_file_and_others_have_others() -> None:
    first = entries([("e1", "1", "b.example"), ("e2", "1", "c.example"), ("e1", "1", "a.example")])
    assert [(entry.source, entry.names) for entry in first] == [
        ("e1", ("a.example", "b.example")),
        ("e2", ("c.example",)),
    ]
    changed = [
        entries([("e1", "2", "a.example"), ("e1", "2", "b.example")]),
        entries([("e1", "1", "a.example")]),
        entries([("e2", "1", "a.example"), ("e2", "1", "b.example")]),
    ]
    files = {entry.file for each in (first, *changed) for entry in each}
    assert len(files) == 5
    assert Entry("e1", "1", ("a.example", "b.example")).file == first[0].file


def test_names_of_one_certificate_are_shared_out_so_that_each_command_is_short() -> None:
    names = [f"{number:03}.{'x' * 200}.example" for number in range(1000)]
    found = entries(("e", "1", name) for name in reversed(names))
    assert len(found) > 20
    assert [name for entry in found for name in entry.names] == names
    assert all(len(" ".join(entry.names)) <= 8 * 1024 for entry in found)
