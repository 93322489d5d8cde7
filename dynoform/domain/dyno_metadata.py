"""What a dyno can be told of itself, by the feature that Heroku calls dyno metadata.

https://devcenter.heroku.com/articles/dyno-metadata
"""

import uuid
from collections.abc import Collection
from datetime import datetime

from dynoform.domain import releases, times

FEATURE = "runtime-dyno-metadata"
BUILD_FEATURE = "runtime-dyno-build-metadata"
DYNO_ID = "HEROKU_DYNO_ID"
"""The one variable that no two dynos of a release share."""


def variables(
    features: Collection[str],
    *,
    app_id: uuid.UUID,
    app_name: str,
    dyno_id: uuid.UUID,
    domain: str,
    version: int,
    created: datetime,
    commit: str | None,
) -> dict[str, str]:
    """The environment variables that these features give to a dyno of a release.

    ``domain`` is the platform's, ``version`` the release's, ``commit`` what its slug was built from, if known.
    """
    found: dict[str, str] = {}
    if FEATURE in features:
        found |= {
            "HEROKU_APP_ID": str(app_id),
            "HEROKU_APP_NAME": app_name,
            "HEROKU_APP_DEFAULT_DOMAIN_NAME": f"{app_name}.{domain}",
            DYNO_ID: str(dyno_id),
            "HEROKU_RELEASE_CREATED_AT": times.shown(created),
            "HEROKU_RELEASE_VERSION": releases.name(version),
        }
    for feature, noun in ((FEATURE, "SLUG"), (BUILD_FEATURE, "BUILD")):
        if feature in features:
            found |= {f"HEROKU_{noun}_COMMIT": commit or "", f"HEROKU_{noun}_DESCRIPTION": releases.deployed(commit)}
    return found
