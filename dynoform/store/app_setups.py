"""App setups: asking for them, and writing down how they end."""

from sqlalchemy.orm import Session

from dynoform.domain.jobs import Kind
from dynoform.store import jobs
from dynoform.store.tables import AppSetup, Build


def add_job(session: Session, setup: AppSetup) -> None:
    """Have the setup go on, after what its app waits for already. The app has to be locked."""
    jobs.add(session, setup.app_id, Kind.SETUP, setup.id)


def end(session: Session, setup: AppSetup, status: str) -> None:
    """The setup has this status for good, and keeps that of its build, which goes with the app."""
    setup.status, setup.build_status = status, build_status(session, setup)


def build_status(session: Session, setup: AppSetup) -> str | None:
    """How the setup's build stands, or stood; None before there is one."""
    build = session.get(Build, setup.build_id) if setup.build_id else None
    return build.status if build else setup.build_status
