"""An app platform with many dynos: declared in a real store, running on a simulated Swarm."""

import uuid
from itertools import count

from dynoform.configuration import Configuration
from dynoform.journal import Journal
from dynoform.reconcile.executor import Executor
from dynoform.reconcile.loop import Reconciler
from dynoform.reconcile.swarm import Swarm
from dynoform.store.accounts import ensure_operator
from dynoform.store.leadership import Leadership
from dynoform.store.releases import add_config, create_release
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import App, Dyno, Formation, Slug

PER_APP = 10
STACK = "many"
ADDRESS_LABEL = f"dynoform.{STACK}.dyno-address"


class Silent:
    """A log plane that is nowhere."""

    def line(self, app_id: object, source: str, process: str, message: str) -> None:
        """Say nothing."""


class ManyDynos:
    """A reconciler, and apps of ten workers each: nobody has to answer at a port for them to be up."""

    def __init__(self, store: Store, configuration: Configuration, engine: str) -> None:
        """``engine`` is the simulated Swarm's address."""
        self.store, self.vault = store, Vault(configuration.secret("encryption_key"))
        self.executor = Executor(
            store, Swarm(STACK, engine=engine), self.vault, Silent(), "dynos", Journal("reconcile")
        )
        self.reconciler = Reconciler(store, self.executor.swarm, self.executor, Leadership(store))
        self._numbers = count(1)

    def declare(self, dynos: int) -> None:
        """Add apps with so many dynos in all, a multiple of ten."""
        for _ in range(dynos // PER_APP):
            self._app()

    def settle(self) -> int:
        """Passes until one has nothing to do; how many it took."""
        for passes in count(1):
            if self.reconciler.step() > 0 and not self._not_up():
                return passes
        raise AssertionError

    def _not_up(self) -> int:
        with self.store.transaction() as session:
            return session.query(Dyno).filter(Dyno.state != "up").count()

    def _app(self) -> None:
        with self.store.transaction() as session:
            owner = ensure_operator(session, "ann@example.com", "token")
            app = App(name=f"app-{next(self._numbers)}", owner_id=owner.id, stack="dynoform-13")
            session.add(app)
            session.flush()
            image = f"registry.invalid:5000/apps/{app.id}@sha256:{uuid.uuid4().hex * 2}"
            slug = Slug(app_id=app.id, image=image, size=1, checksum="-", stack="dynoform-13")
            slug.id, slug.process_types = uuid.uuid4(), {"worker": "python worker.py --queue default"}
            session.add(slug)
            config = add_config(session, self.vault, app.id, {})
            create_release(session, app, description="x", account_id=owner.id, slug=slug, config=config)
            session.flush()
            session.query(Formation).filter(Formation.app_id == app.id).update({"quantity": PER_APP})
