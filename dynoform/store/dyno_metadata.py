"""What the dynos of a release are told of themselves."""

import uuid

from sqlalchemy.orm import Session

from dynoform.domain import dyno_metadata
from dynoform.store import features
from dynoform.store.tables import App, Release


def of(session: Session, domain: str, app: App, release: Release, dyno_id: uuid.UUID) -> dict[str, str]:
    """A dyno's environment variables, as the app's features are now; none for who has not turned them on."""
    return dyno_metadata.variables(
        features.enabled(session, app.id),
        app_id=app.id,
        app_name=app.name,
        dyno_id=dyno_id,
        domain=domain,
        version=release.version,
        created=release.created_at,
        commit=release.slug.commit if release.slug else None,
    )
