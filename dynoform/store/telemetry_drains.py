"""Telemetry drains in the store."""

import json
import uuid

from sqlalchemy import select
from sqlalchemy.orm import Session

from dynoform.domain import telemetry_drains
from dynoform.domain.telemetry_drains import Exporter
from dynoform.errors import InvalidInputError
from dynoform.store.secrets import Vault
from dynoform.store.session import DRAINS, notify
from dynoform.store.tables import App, TelemetryDrain


def of_app(session: Session, app_id: uuid.UUID) -> list[TelemetryDrain]:
    """The app's telemetry drains, oldest first."""
    query = select(TelemetryDrain).where(TelemetryDrain.app_id == app_id)
    return list(session.scalars(query.order_by(TelemetryDrain.created_at, TelemetryDrain.id)))


def exporter_of(vault: Vault, drain: TelemetryDrain) -> Exporter:
    """Where it goes, in the clear."""
    kept = vault.decrypt(drain.id, drain.exporter)
    return Exporter(kept["endpoint"], json.loads(kept["headers"]))


def add(session: Session, vault: Vault, app: App, signals: list[str], exporter: Exporter) -> TelemetryDrain:
    """A new one of a locked app; what it says was checked. Raises ``InvalidInputError`` for one too many."""
    if len(of_app(session, app.id)) >= telemetry_drains.MAXIMUM_PER_APP:
        raise InvalidInputError(f"You cannot add more than {telemetry_drains.MAXIMUM_PER_APP} telemetry drains")
    drain = TelemetryDrain(id=uuid.uuid4(), app_id=app.id, signals=signals)
    session.add(drain)
    change(session, vault, drain, exporter)
    return drain


def change(session: Session, vault: Vault, drain: TelemetryDrain, exporter: Exporter) -> None:
    """Send to another place."""
    kept = {"endpoint": exporter.endpoint, "headers": json.dumps(exporter.headers)}
    drain.exporter = vault.encrypt(drain.id, kept)
    session.flush()
    notify(session, DRAINS, DRAINS)


def remove(session: Session, drain: TelemetryDrain) -> None:
    """Send nothing there any more."""
    session.delete(drain)
    notify(session, DRAINS, DRAINS)
