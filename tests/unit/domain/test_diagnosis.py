"""What reports make of what a server says."""

import pytest

from dynoform.domain import diagnosis


def status(**said: diagnosis.Rows) -> dict[str, str]:
    return {check["name"]: check["status"] for check in diagnosis.checks(said)}


def test_what_says_nothing_is_well() -> None:
    assert set(status().values()) == {"green"}
    assert list(status())[:2] == ["Connection Count", "Long Queries"]


@pytest.mark.parametrize(("seconds", "expected"), [(61, "yellow"), (299, "yellow"), (300, "red")])
def test_what_takes_long_is_worth_a_look_and_then_bad(seconds: int, expected: str) -> None:
    assert status(long_queries=[{"pid": 1, "seconds": seconds}])["Long Queries"] == expected


def test_what_cannot_be_bad_is_yellow_at_most() -> None:
    assert status(indexes=[{"index": "public.a", "size": "900 GB"}])["Indexes"] == "yellow"
