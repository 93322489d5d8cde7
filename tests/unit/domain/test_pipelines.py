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
