"""Pipelines' rules: what became of a promotion, and how it is described."""

import pytest

from dynoform.domain import pipelines, releases


@pytest.mark.parametrize(
    ("error", "release", "status"),
    [
        (None, "pending", "pending"),
        (None, "succeeded", "succeeded"),
        (None, "expired", "succeeded"),
        (None, "failed", "failed"),
        (None, None, "failed"),
        ("no", None, "failed"),
    ],
)
def test_a_target_is_what_its_release_is(error: str | None, release: str | None, status: str) -> None:
    assert pipelines.target_status(error, release) == status


@pytest.mark.parametrize(
    ("commit", "description"),
    [
        ("abc1234def0123", "Promote myapp-staging v12 abc1234d"),
        ("build-7", "Promote myapp-staging v12 build-7"),
        (None, "Promote myapp-staging v12"),
        ("x" * 300, ("Promote myapp-staging v12 " + "x" * 300)[:200]),
    ],
)
def test_a_promotion_says_where_it_came_from(commit: str | None, description: str) -> None:
    assert releases.promoted("myapp-staging", 12, commit) == description


def test_a_pipeline_gets_a_number_where_its_name_is_taken() -> None:
    assert pipelines.free_name("shop", {"other"}) == "shop"
    assert pipelines.free_name("shop", {"shop", "shop-2"}) == "shop-3"
    longest = "a" * 30
    assert pipelines.free_name(longest, {longest}) == pipelines.check_name(f"{longest[:28]}-2")
    assert pipelines.free_name(longest, {longest, *(f"{longest[:28]}-{number}" for number in range(2, 10))}) == (
        f"{longest[:27]}-10"
    )
