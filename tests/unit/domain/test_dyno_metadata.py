import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from dynoform.domain.dyno_metadata import BUILD_FEATURE, FEATURE, variables

RELEASE: dict[str, Any] = {
    "app_id": uuid.UUID(int=1),
    "app_name": "shop",
    "dyno_id": uuid.UUID(int=2),
    "domain": "apps.example.com",
    "version": 42,
    "created": datetime(2026, 4, 2, 18, 0, 42, tzinfo=UTC),
}
COMMIT = "2c3a0b24069af49b3de35b8e8c26765c1dba9ff0"
APP = {
    "HEROKU_APP_ID": "00000000-0000-0000-0000-000000000001",
    "HEROKU_APP_NAME": "shop",
    "HEROKU_DYNO_ID": "00000000-0000-0000-0000-000000000002",
    "HEROKU_APP_DEFAULT_DOMAIN_NAME": "shop.apps.example.com",
    "HEROKU_RELEASE_CREATED_AT": "2026-04-02T18:00:42Z",
    "HEROKU_RELEASE_VERSION": "v42",
}
SLUG = {"HEROKU_SLUG_COMMIT": COMMIT, "HEROKU_SLUG_DESCRIPTION": "Deploy 2c3a0b24"}
BUILD = {"HEROKU_BUILD_COMMIT": COMMIT, "HEROKU_BUILD_DESCRIPTION": "Deploy 2c3a0b24"}


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (set(), {}),
        ({"preboot"}, {}),
        ({FEATURE}, APP | SLUG),
        ({BUILD_FEATURE}, BUILD),
        ({FEATURE, BUILD_FEATURE}, APP | SLUG | BUILD),
    ],
)
def test_a_dyno_is_told_what_its_features_say(features: set[str], told: dict[str, str]) -> None:
    assert variables(features, commit=COMMIT, **RELEASE) == told


def test_a_slug_that_no_commit_is_known_of_has_an_empty_one() -> None:
    told = variables({BUILD_FEATURE}, commit=None, **RELEASE)
    assert told == {"HEROKU_BUILD_COMMIT": "", "HEROKU_BUILD_DESCRIPTION": "Deploy"}
