"""All drains of all apps, as the log plane has to know them."""

from sqlalchemy import select

from dynoform.domain.log_drains import Target
from dynoform.domain.telemetry_drains import LOGS
from dynoform.store import log_drains, telemetry_drains
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import App, LogDrain, TelemetryDrain


def all_of(store: Store, vault: Vault) -> list[Target]:
    """Log drains, and the telemetry drains that want logs, in the order of their ids."""
    with store.transaction() as session:
        plain = select(LogDrain, App.name).join(App, App.id == LogDrain.app_id)
        telemetry = select(TelemetryDrain, App.name).join(App, App.id == TelemetryDrain.app_id)
        targets = [_log_drain(vault, drain, name) for drain, name in session.execute(plain).unique()]
        targets += [
            _telemetry_drain(vault, drain, name) for drain, name in session.execute(telemetry) if LOGS in drain.signals
        ]
    return sorted(targets, key=lambda target: target.id)


def _log_drain(vault: Vault, drain: LogDrain, name: str) -> Target:
    return Target(str(drain.id), str(drain.app_id), name, drain.token, log_drains.url_of(vault, drain))


def _telemetry_drain(vault: Vault, drain: TelemetryDrain, name: str) -> Target:
    exporter = telemetry_drains.exporter_of(vault, drain)
    headers = tuple(sorted(exporter.headers.items()))
    return Target(str(drain.id), str(drain.app_id), name, f"d.{drain.id}", exporter.endpoint, True, headers)
