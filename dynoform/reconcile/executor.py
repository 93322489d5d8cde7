"""Doing what was decided, so that doing an action again, or only half of it, does no harm."""

from datetime import timedelta
from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dynoform.domain import dyno_lines, dyno_names, stacks
from dynoform.domain.dyno_actions import (
    Action,
    AddDyno,
    CycleDyno,
    Idle,
    MarkCrashed,
    MarkStarting,
    MarkUp,
    Move,
    RemoveDyno,
    RemoveService,
    Retire,
    StartDyno,
    StopIdle,
)
from dynoform.domain.dyno_metadata import DYNO_ID
from dynoform.domain.dyno_snapshot import IDLE
from dynoform.errors import ConfigurationError, ConflictError
from dynoform.journal import Journal
from dynoform.reconcile.specification import DynoService
from dynoform.reconcile.swarm import Swarm
from dynoform.store import dyno_metadata, webhooks
from dynoform.store.releases import config_of
from dynoform.store.secrets import Vault
from dynoform.store.session import ROUTES, Store, notify
from dynoform.store.tables import App, Dyno, Release

REFUSED_AGAIN = timedelta(seconds=30)
"""When a service that the engine refused is tried again."""


class Logs(Protocol):
    """Where lines for apps go."""

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        """Write one line; never waits."""


class Executor:
    """Acts on the store and on Swarm, and tells the app's owner in Heroku's words."""

    def __init__(
        self,
        store: Store,
        swarm: Swarm,
        vault: Vault,
        logs: Logs,
        network: str,
        journal: Journal,
        domain: str = "localhost",
    ) -> None:
        """``network`` is the Swarm-scoped bridge of the dynos, ``domain`` the one below which apps answer."""
        self.store, self.swarm, self.vault, self.domain = store, swarm, vault, domain
        self.logs, self.network, self.journal = logs, network, journal
        self.ports: frozenset[int] = frozenset()
        """Host ports that services use, as of the last look."""
        self.counted: set[str] = set()
        """Tasks whose end was counted as a crash."""

    def do(self, action: Action) -> None:
        """Do one action. Raises ``UnavailableError`` when store or engine do not answer: leave the rest for later."""
        subject = getattr(action, "dyno_id", None) or getattr(action, "service_id", None) or _name(action)
        self.journal.info(type(action).__name__, subject=subject, reason=action.reason)
        match action:
            case AddDyno():
                self._add(action)
            case CycleDyno():
                self._cycle(action)
            case StartDyno():
                self._start(action)
            case Move():
                self._move(action)
            case MarkUp():
                self._mark_up(action)
            case MarkStarting():
                self._mark_starting(action)
            case MarkCrashed():
                self._mark_crashed(action)
            case Retire():
                self._retire(action)
            case Idle():
                self._idle(action)
            case StopIdle():
                self._stop_idle(action)
            case RemoveDyno():
                self._remove(action)
            case RemoveService():
                self.swarm.remove(action.service_id)

    def _add(self, action: AddDyno) -> None:
        with self.store.transaction() as session:
            app = session.scalars(
                select(App).where(App.id == action.app_id).with_for_update(of=App, key_share=True)
            ).first()
            release = session.get(Release, action.release_id)
            if app is None or release is None or not release.current:
                return
            dyno = Dyno(
                app_id=app.id,
                release_id=release.id,
                type=action.type,
                number=action.number,
                size=action.size,
                command=action.command,
                state_changed_at=func.clock_timestamp(),
            )
            session.add(dyno)
            session.flush()
            webhooks.dyno_created(session, app, dyno, release.version)
        if action.restart:
            self._say(dyno, dyno_lines.RESTARTING, dyno_lines.state_changed("up", "starting"))

    def _cycle(self, action: CycleDyno) -> None:
        with self.store.transaction() as session:
            old = session.get(Dyno, action.dyno_id, with_for_update=True)
            if old is None or old.state != "up":
                return
            # Its address stays: it serves until the new one does.
            old.state, old.state_changed_at = "down", func.clock_timestamp()
            webhooks.dyno_changed(session, old, "up")
            columns = ("app_id", "release_id", "type", "number", "size", "command")
            dyno = Dyno(**{name: getattr(old, name) for name in columns}, state_changed_at=func.clock_timestamp())
            session.add(dyno)
            session.flush()
            app, release = session.get_one(App, old.app_id), session.get_one(Release, old.release_id)
            webhooks.dyno_created(session, app, dyno, release.version)
        self._say(dyno, dyno_lines.CYCLING, _changed("up", "starting"))

    def _start(self, action: StartDyno) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None:
                return
            before, had = dyno.state, dyno.service_id
            try:
                service, config = self._declared(session, dyno, action.host)
                dyno.image = service.image  # before it runs: what a dyno has stays in the registry
            except ConfigurationError as error:
                self._refuse(session, dyno, error)
                return
        lines = [dyno_lines.state_changed(before, "starting")] if before != "starting" else []
        lines = [dyno_lines.UNIDLING, *lines] if before == IDLE else lines
        self._say(dyno, *lines, dyno_lines.starting(dyno.command))
        self.swarm.remove(had or service.name)
        try:
            service_id = self.swarm.create(service, config, self.ports, had or "")
        except ConflictError as error:
            with self.store.transaction() as session:
                self._refuse(session, session.get(Dyno, dyno.id), error)
            return
        with self.store.transaction() as session:
            found = session.get(Dyno, dyno.id)
            if found is not None:
                found.service_id, found.start_after, found.host_id = service_id, None, action.host or None
                self._change(session, found, "starting")

    def _move(self, action: Move) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is not None:
                dyno.moving = True

    def _declared(self, session: Session, dyno: Dyno, host: str) -> tuple[DynoService, dict[str, str]]:
        app, release = session.get(App, dyno.app_id), session.get(Release, dyno.release_id)
        if app is None or release is None or release.slug is None:
            raise ConfigurationError(f"dyno {dyno.id}", "its release has no slug any more", "deploy the app anew")
        # All that is told but its own id holds for every dyno of the release, and comes from one secret.
        told = dyno_metadata.of(session, self.domain, app, release, dyno.id)
        config = config_of(session, self.vault, release) | told
        own = {DYNO_ID: config.pop(DYNO_ID)} if DYNO_ID in told else {}
        service = DynoService(
            stack=self.swarm.stack,
            network=self.network,
            app_id=app.id,
            app_name=app.name,
            dyno_id=dyno.id,
            release_id=release.id,
            version=release.version,
            type=dyno.type,
            number=dyno.number,
            size=dyno.size,
            command=dyno.command,
            image=release.slug.image_of(dyno.type),
            container=release.slug.stack == stacks.CONTAINER,
            crashes=dyno.crashes,
            host=host,
            variables=own,
        )
        return service, config

    def _refuse(self, session: Session, dyno: Dyno | None, error: Exception) -> None:
        """The engine, or the store's own data, does not allow this dyno: the platform's fault, tried again later."""
        if dyno is None:
            return
        self.journal.error("dyno refused", dyno=dyno.id, error=error)
        before = dyno.state
        self._change(session, dyno, "crashed")
        dyno.start_after = func.clock_timestamp() + REFUSED_AGAIN
        self._say(dyno, dyno_lines.LAUNCH_FAILED, *([] if before == "crashed" else [_changed(before, "crashed")]))

    def _mark_up(self, action: MarkUp) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None or dyno.state == "down":
                return
            before = dyno.state
            self._change(session, dyno, "up", action.address, action.port)
        self._say(dyno, _changed(before, "up"))

    def _mark_starting(self, action: MarkStarting) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None or dyno.state == "down":
                return
            before = dyno.state
            self._change(session, dyno, "starting")
        self._say(dyno, _changed(before, "starting"), dyno_lines.starting(dyno.command))

    def _mark_crashed(self, action: MarkCrashed) -> None:
        self.counted.add(action.task_id)
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None or dyno.state == "down":
                return
            before, service_id = dyno.state, dyno.service_id
            dyno.crashes, dyno.start_after = action.crashes, action.start_after
            self._change(session, dyno, "crashed")
            if action.boot_timeout:
                dyno.service_id = None
        if action.boot_timeout:
            self._say(dyno, dyno_lines.BOOT_TIMEOUT, dyno_lines.KILLING)
            if service_id:
                self.swarm.remove(service_id)
        if action.launch_failed:
            self._say(dyno, dyno_lines.launch_failed(action.reason))
        if before != "crashed":
            self._say(dyno, _changed(before, "crashed"))

    def _retire(self, action: Retire) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None:
                return
            before = dyno.state
            self._change(session, dyno, "down")
        if action.scaled_down and before not in {"down", IDLE}:
            self._say(dyno, _changed(before, "down"))

    def _idle(self, action: Idle) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
            if dyno is None or dyno.state in {"down", IDLE}:
                return
            before, dyno.start_after = dyno.state, None
            self._change(session, dyno, IDLE)
        self._say(dyno, dyno_lines.IDLING, _changed(before, IDLE))

    def _stop_idle(self, action: StopIdle) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
        if dyno is None:
            return
        self._say(dyno, dyno_lines.STOPPING)
        self.swarm.remove(action.service_id)
        with self.store.transaction() as session:
            found = session.get(Dyno, action.dyno_id)
            if found is not None and found.service_id == action.service_id:
                found.service_id = found.image = None

    def _remove(self, action: RemoveDyno) -> None:
        with self.store.transaction() as session:
            dyno = session.get(Dyno, action.dyno_id)
        if dyno is None:
            return
        if dyno.service_id:
            self._say(dyno, dyno_lines.STOPPING)
            self.swarm.remove(dyno.service_id)
        with self.store.transaction() as session:
            gone = session.get(Dyno, action.dyno_id)
            if gone is not None:
                session.delete(gone)

    def _change(
        self, session: Session, dyno: Dyno, state: str, address: str | None = None, port: int | None = None
    ) -> None:
        """Set the dyno's state and place, by the store's clock, and tell the routers at commit."""
        before = dyno.state
        dyno.state, dyno.address, dyno.port = state, address, port
        dyno.state_changed_at = func.clock_timestamp()
        notify(session, ROUTES, dyno.app_id)
        if state != before:
            webhooks.dyno_changed(session, dyno, before)

    def _say(self, dyno: Dyno, *lines: str) -> None:
        for line in lines:
            self.logs.line(dyno.app_id, "heroku", dyno_names.name(dyno.type, dyno.number), line)


def _changed(before: str, after: str) -> str:
    return dyno_lines.state_changed(before, after)


def _name(action: Action) -> str:
    return dyno_names.name(action.type, action.number) if isinstance(action, AddDyno) else ""
