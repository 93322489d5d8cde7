"""As much of a platform as dynos need: a store, a bridge, and a reconciler that the test drives."""

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import docker
import httpx
from docker.errors import APIError, NotFound
from sqlalchemy import select, update
from sqlalchemy.exc import SQLAlchemyError

from dynoform.agent.ledger import Ledger
from dynoform.agent.process import repeat
from dynoform.agent.watcher import REOPEN_SECONDS, Watcher
from dynoform.attempts import attempts
from dynoform.configuration import Configuration
from dynoform.domain.dyno_container import DYNO_ID_LABEL, RUN_ID_LABEL, STACK_LABEL
from dynoform.errors import DynoformError
from dynoform.journal import Journal
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.loop import Reconciler, _watch_events
from dynoform.reconcile.swarm import Swarm
from dynoform.run.connection import Connection
from dynoform.run.engine import Engine
from dynoform.store.leadership import Leadership
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Dyno, Formation, Slug
from dynoform.wake import Wake
from tests.integration.engine_parts import EngineParts

STACK = "itrdynos"
SUBNET, GATEWAY = "172.29.72.0/24", "172.29.72.1"
SERVER = "python3 -m http.server $PORT"
NETWORK = f"{STACK}_dynos"
NODE_LABEL = f"dynoform.{STACK}.dyno-address"


@dataclass
class Recorder:
    """Keeps the lines that the reconciler writes to apps' logs."""

    lines: list[str] = field(default_factory=list)
    times: list[tuple[float, str]] = field(default_factory=list)
    """The same with the monotonic time of each."""
    only: str = ""
    """The app whose lines are kept, if not all: dynos of the test before may still be leaving."""

    def begin(self, app_id: object) -> None:
        """Forget all lines, and keep this app's from now on."""
        self.only = str(app_id)
        self.clear()

    def clear(self) -> None:
        """Forget all lines."""
        self.lines.clear()
        self.times.clear()

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        if self.only not in {"", str(app_id)}:
            return
        text = f"{source}[{process}]: {message}"
        self.lines.append(text)
        self.times.append((time.monotonic(), text))


class DynoPlatform:
    """Handles for the tests: make apps, release, scale, and see what runs."""

    def __init__(self, parts: EngineParts, store: Store, configuration: Configuration, image: str) -> None:
        self.parts, self.store, self.image = parts, store, image
        self.configuration = configuration
        self.vault = Vault(configuration.secret("encryption_key"))
        self.swarm = Swarm(STACK)
        self.logs = Recorder()
        self.leadership = Leadership(store)
        self.executor = Executor(store, self.swarm, self.vault, self.logs, NETWORK, Journal("reconcile"))
        self.reconciler = Reconciler(store, self.swarm, self.executor, self.leadership)
        self.wake = Wake()
        _watch_events(replace(configuration, stack=STACK), self.wake)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Let the reconciler work."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let it finish its pass and rest, as if it had been killed: its lease runs on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)

    def app(self, name: str) -> uuid.UUID:
        """A new app without a release."""
        with self.store.transaction() as session:
            account = session.scalars(select(Account)).first() or Account(email="ann@example.com")
            session.add(account)
            session.flush()
            app = App(name=name, owner_id=account.id, stack="dynoform-13")
            session.add(app)
            session.flush()
            return app.id

    def release(
        self,
        app_id: uuid.UUID,
        commands: dict[str, str],
        *,
        stack: str = "dynoform-13",
        image: str = "",
        **config: str,
    ) -> int:
        """A release of ``image``, the test's own unless given, with these process types; returns its version."""
        with self.store.transaction() as session:
            app = session.get_one(App, app_id)
            slug = Slug(
                id=uuid.uuid4(),
                app_id=app_id,
                image=image or self.image,
                size=1,
                checksum="-",
                stack=stack,
                process_types=commands,
            )
            session.add(slug)
            made = add_config(session, self.vault, app_id, dict(config))
            release = create_release(session, app, description="test", account_id=app.owner_id, slug=slug, config=made)
            version = release.version
        self.wake.ring()
        return version

    def scale(self, app_id: uuid.UUID, **quantities: int) -> None:
        """Set how many dynos of each type the app should have."""
        with self.store.transaction() as session:
            for type_, quantity in quantities.items():
                condition = (Formation.app_id == app_id, Formation.type == type_)
                session.execute(update(Formation).where(*condition).values(quantity=quantity))
        self.wake.ring()

    def delete(self, app_id: uuid.UUID) -> None:
        """Destroy the app, as the API does."""
        with self.store.transaction() as session:
            session.delete(session.get_one(App, app_id))
        self.wake.ring()

    def dynos(self, app_id: uuid.UUID) -> list[Dyno]:
        """The app's dynos, by name and age."""
        with self.store.transaction() as session:
            query = select(Dyno).where(Dyno.app_id == app_id).order_by(Dyno.type, Dyno.number, Dyno.created_at)
            return list(session.scalars(query))

    def states(self, app_id: uuid.UUID) -> list[str]:
        """``web.1 up``, sorted."""
        return [f"{dyno.type}.{dyno.number} {dyno.state}" for dyno in self.dynos(app_id)]

    def services(self, app_id: uuid.UUID) -> "list[docker.models.services.Service]":
        """The app's Swarm services."""
        labels = [f"{STACK_LABEL}={STACK}", f"dynoform.app={app_id}"]
        return list(self.parts.engine.services.list(filters={"label": labels}))

    def containers(self, app_id: uuid.UUID) -> "list[docker.models.containers.Container]":
        """The app's running containers."""
        labels = [f"dynoform.app={app_id}", DYNO_ID_LABEL]
        return list(self.parts.engine.containers.list(ignore_removed=True, filters={"label": labels}))

    def get(self, dyno: Dyno, path: str = "/") -> httpx.Response:
        """Ask a dyno as a router would."""
        return httpx.get(f"http://{dyno.address}:{dyno.port}{path}", timeout=30)

    def wait(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        """Until it holds; fails with what was logged."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "\n".join(["not in time; the log:", *self.logs.lines[-30:]])
            time.sleep(0.2)

    def wait_up(self, app_id: uuid.UUID, *names: str) -> None:
        """Until the app has exactly these dynos, all up."""
        self.wait(lambda: self.states(app_id) == [f"{name} up" for name in sorted(names)])

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                due = self.reconciler.step()
            except (DynoformError, SQLAlchemyError) as error:  # the second: an app was deleted meanwhile
                self.executor.journal.warning("pass failed", error=error)
                due = 0.5
            self.wake.wait(due)


@contextmanager
def watched(platform: DynoPlatform) -> Iterator[None]:
    """The runtime agent's part that tells of dynos' ends, into the platform's log."""
    loop = asyncio.new_event_loop()

    async def watch() -> None:
        connection = Connection(platform.configuration, f"{STACK}-watcher", asyncio.Event())
        journal = Journal("runtime-agent")
        watcher = Watcher(STACK, Engine(), Ledger(connection), platform.logs, journal, datetime.now(UTC))
        try:
            await repeat("events", watcher.follow, REOPEN_SECONDS, journal)
        finally:
            await connection.close()

    watching = loop.create_task(watch())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield
    loop.call_soon_threadsafe(watching.cancel)
    platform.wait(watching.done)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@contextmanager
def dyno_network(parts: EngineParts) -> Iterator[None]:
    """The dynos' bridge, as the role dyno_runtime makes it, and the node's address label."""
    api = parts.engine.api
    pool = docker.types.IPAMPool(subnet=SUBNET, gateway=GATEWAY)
    options = {
        "com.docker.network.bridge.enable_icc": "false",
        "com.docker.network.bridge.host_binding_ipv4": GATEWAY,
    }
    remove_network(parts)
    config = f"{NETWORK}_config"
    ipam = docker.types.IPAMConfig(pool_configs=[pool])
    # The SDK has no argument for networks that are a configuration or made from one. The latter take no labels.
    for body in (
        {"Name": config, "ConfigOnly": True, "IPAM": ipam, "Options": options},
        {
            "Name": NETWORK,
            "Driver": "bridge",
            "Scope": "swarm",
            "Attachable": True,
            "ConfigFrom": {"Network": f"{NETWORK}_config"},
        },
    ):
        api._raise_for_status(api._post_json(api._url("/networks/create"), data=body | {"CheckDuplicate": True}))
    node = parts.engine.nodes.list()[0]
    label_node(node, GATEWAY)
    try:
        yield
    finally:
        label_node(node, None)
        remove_network(parts)


def remove_dynos(parts: EngineParts) -> None:
    """Services, one-off dynos and secrets of our stack, also those that a killed run has left."""
    label = {"label": f"dynoform.stack={STACK}"}
    for service in parts.engine.services.list(filters=label):
        service.remove()
    runs = {"label": [label["label"], RUN_ID_LABEL]}
    for container in parts.engine.containers.list(all=True, ignore_removed=True, filters=runs):
        with suppress(APIError):  # an agent was removing it
            container.remove(force=True)
    for _ in range(300):
        if not parts.engine.containers.list(ignore_removed=True, filters=label):
            break
        time.sleep(0.2)
    for secret in parts.engine.secrets.list(filters=label):
        secret.remove()


def remove_network(parts: EngineParts) -> None:
    """Remove the bridge (names are all it can be known by), as soon as Swarm has let go of it."""
    for name in (NETWORK, f"{NETWORK}_config"):
        for _ in range(300):
            try:
                parts.engine.api.remove_network(name)
            except NotFound:
                break
            except APIError:
                pass  # its last containers are still leaving
            time.sleep(0.2)


def label_node(node: "docker.models.nodes.Node", address: str | None) -> None:
    """Say on the node where its dynos are reached, or take that back."""
    for _ in attempts(30):
        node.reload()
        spec = node.attrs["Spec"]
        labels = {key: value for key, value in (spec.get("Labels") or {}).items() if key != NODE_LABEL}
        try:
            node.update(spec | {"Labels": labels | ({NODE_LABEL: address} if address else {})})
        except APIError as error:
            # Other tests, at the same time, say on it where theirs are.
            if "update out of sequence" not in str(error):
                raise
        else:
            return
    raise AssertionError("others change the node all the time")
