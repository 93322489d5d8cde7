"""The worker: takes a change, asks the provider outside of any transaction, writes down what came of it.

Killed at any moment, it leaves a change whose lease runs out: the next worker asks the provider again, by the same
uuid, and the provider answers as before.
"""

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from sqlalchemy.orm import Session

from dynoform.addons import queue
from dynoform.addons.partner import PartnerProvider
from dynoform.addons.provider import Answer, DatabaseProvider, Provider, RefusedError
from dynoform.addons.queue import Claim, Keeper, LeaseLostError, Surroundings
from dynoform.addons.scheduler import SchedulerProvider
from dynoform.configuration import Configuration
from dynoform.domain import addons, data_services, database_credentials, log_drains, own_services, releases
from dynoform.domain.log_drains import Reach
from dynoform.errors import ConflictError, DynoformError, InvalidInputError, UnavailableError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store import addon_services
from dynoform.store import addons as store_addons
from dynoform.store.addons import Made
from dynoform.store.log_drains import add_for_addon
from dynoform.store.secrets import Vault
from dynoform.store.session import ADDON_WORK, Store, pause
from dynoform.store.tables import Addon, AddonChange, Plan
from dynoform.wake import Wake

THREADS = 4
"""Providers asked at the same time: a slow one does not hold up the others."""
INTERVAL_SECONDS = 2.0
_TIDY_SECONDS = 600.0
_SILENT = "The add-on's provider does not answer. Try again later"


class LogLines(Protocol):
    """Where lines for an app's log go; never blocks and never raises."""

    def line(self, app_id: uuid.UUID, source: str, process: str, message: str) -> None:
        """Send one line."""


class Worker:
    """One change after another; safe to use from several threads and in several processes."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        providers: Mapping[str, Provider],
        around: Surroundings,
        logs: LogLines,
        journal: Journal,
        reach: Reach | None = None,
        others: Collection[str] = (),
    ) -> None:
        """``providers`` by the name that services have them under; ``reach`` is where logs may go.

        ``others`` are providers that another process asks.
        """
        self.store = store
        self.vault = vault
        self.providers = providers
        self.around = around
        self.logs = logs
        self.journal = journal
        self.reach = reach or Reach()
        self.others = others

    def step(self, left: Collection[str] = ()) -> bool:
        """Work on one change, but of none of the actions ``left``; False when there was none.

        Raises ``UnavailableError`` without the store.
        """
        claim = queue.take(self.store, self.vault, self.around, self.others, left)
        if claim is None:
            return False
        fields = {"addon": claim.resource.name, "action": claim.action, "attempt": claim.attempt}
        try:
            outcome = self._work(claim)
        except LeaseLostError as error:
            self.journal.warning("change lost", error=error, **fields)
        else:
            self.journal.info(outcome, **fields)
        return True

    def _work(self, claim: Claim) -> str:
        """Ask and finish; returns what the journal is told."""
        try:
            with Keeper(self.store, claim):
                answer = self.ask(claim)
            if answer.again_after is not None:
                self._later(claim, answer.again_after)
                return "change is under way"
            self.finish(claim, answer)
        except (RefusedError, InvalidInputError) as error:
            self._fail(claim, str(error))
            return f"change failed: {error}"
        except (UnavailableError, ConflictError) as error:
            self._try_again(claim)
            return f"change postponed: {error}"
        except DynoformError:
            raise
        except Exception as error:  # noqa: BLE001 - a bug in a provider: the change is tried again, later each time
            self.journal.exception("change broke", error, addon=claim.resource.name, action=claim.action)
            self._try_again(claim)
            return f"change postponed: {type(error).__name__}"
        return "change done" if answer.finished else "change begun by the provider"

    def ask(self, claim: Claim) -> Answer:
        """Have the provider do it."""
        provider = self.providers.get(claim.provider)
        if provider is None:
            raise UnavailableError(claim.resource.service, "its provider is not part of this platform", "upgrade it")
        if claim.action == addons.PROVISION:
            return provider.provision(claim.resource)
        if claim.action == addons.CHANGE:
            return provider.change_plan(claim.resource)
        if claim.action in data_services.OPERATIONS:
            if not isinstance(provider, DatabaseProvider):
                raise RefusedError(f"{claim.resource.service} is not a database of this platform")
            return provider.operate(claim.resource, claim.action, claim.details)
        return provider.deprovision(claim.resource)

    def finish(self, claim: Claim, answer: Answer) -> None:
        """Write down what the provider did, and the releases that come of it, in one transaction."""
        made: list[Made] = []
        with self.store.transaction() as session:
            change, addon = queue.held(session, claim)
            # A destroyed one is attached to none any more.
            apps = {each.app_id for each in addon.attachments} | ({addon.app_id} if addon.app_id else set())
            if claim.action == addons.PROVISION:
                made = self._provisioned(session, addon, answer)
            elif claim.action == addons.CHANGE:
                made = self._changed(session, addon, change, answer)
            elif claim.action in data_services.OPERATIONS:
                made = self._operated(session, addon, change, answer)
            queue.close(session, change)
            if claim.action == addons.DEPROVISION and answer.finished and addon.state == addons.DEPROVISIONING:
                session.delete(addon)
        self._announce(made)
        for line in answer.lines:
            self.journal.warning("the app is told", addon=claim.resource.name, line=line)
            for app_id in apps:
                self.logs.line(app_id, "app", claim.resource.service, line)

    def _provisioned(self, session: Session, addon: Addon, answer: Answer) -> list[Made]:
        addon.provider_id, addon.message, addon.options = answer.provider_id, answer.message, None
        self._keep(session, addon, answer)
        if addon.state != addons.PROVISIONING or not answer.finished:
            return []  # destroyed meanwhile, or to be finished by the provider
        return store_addons.complete(session, self.vault, addon, late=False)

    def _changed(self, session: Session, addon: Addon, change: AddonChange, answer: Answer) -> list[Made]:
        addon.message = answer.message
        self._keep(session, addon, answer)
        plan = session.get_one(Plan, change.plan_id)
        return store_addons.change_plan(session, self.vault, addon, plan, change.account_id)

    def _operated(self, session: Session, addon: Addon, change: AddonChange, answer: Answer) -> list[Made]:
        change.result = dict(answer.result) if answer.result is not None else None
        if addon.state != addons.PROVISIONED:
            return []
        own = {} if answer.config is None else {"": answer.config}
        made: list[Made] = []
        for namespace, config in {**own, **answer.named}.items():
            made += self._told(session, addon, change, namespace, config)
        return made

    def _told(
        self, session: Session, addon: Addon, change: AddonChange, namespace: str, config: Mapping[str, str]
    ) -> list[Made]:
        """Bring what an operation came to, if it is new, to the apps whose attachments have the namespace."""
        service = addon.plan.service
        if change.action == data_services.POOL and namespace == database_credentials.POOLING:
            addons.check_config(service.config_vars, config)
            store_addons.save_config(session, self.vault, addon, config, namespace)
            fresh = [each for each in addon.attachments if each.namespace == namespace and not each.config_vars]
            return [store_addons.bring(session, self.vault, each, change.account_id) for each in fresh]
        if config == store_addons.provider_config(session, self.vault, addon, namespace or None):
            return []
        addons.check_config(service.config_vars, config)
        store_addons.save_config(session, self.vault, addon, config, namespace)
        describe = addons.updated([*config] or service.config_vars, service.name)
        return store_addons.set_config(
            session, self.vault, addon, lambda attached: describe, change.account_id, namespace or None
        )

    def _keep(self, session: Session, addon: Addon, answer: Answer) -> None:
        service = addon.plan.service
        if answer.config is not None:
            addons.check_config(service.config_vars, answer.config)
            store_addons.save_config(session, self.vault, addon, answer.config)
        if answer.log_drain_url is not None and service.drains_logs and addon.app_id is not None:
            url = log_drains.check(answer.log_drain_url, self.reach)
            add_for_addon(session, self.vault, addon, url)

    def _fail(self, claim: Claim, reason: str) -> None:
        try:
            self._end(claim, reason)
        except DynoformError:
            raise  # the store is away, or the change is another's: it is ended later
        except Exception as error:
            if claim.action == addons.DEPROVISION:
                raise
            self.journal.exception("change could not be ended", error, addon=claim.resource.name, action=claim.action)
            with self.store.transaction() as session:  # the add-on can be destroyed then
                change, _ = queue.held(session, claim)
                queue.close(session, change, reason)

    def _end(self, claim: Claim, reason: str) -> None:
        with self.store.transaction() as session:
            change, addon = queue.held(session, claim)
            if claim.action == addons.DEPROVISION:
                queue.postpone(session, change)  # it may still cost money
                return
            queue.close(session, change, reason)
            if claim.action == addons.PROVISION and addon.state == addons.PROVISIONING:
                store_addons.give_up(session, addon)

    def _try_again(self, claim: Claim) -> None:
        if addons.out_of_attempts(claim.action, claim.attempt):
            self._fail(claim, _SILENT)
            return
        with self.store.transaction() as session:
            change, _ = queue.held(session, claim)
            queue.postpone(session, change)

    def _later(self, claim: Claim, seconds: float) -> None:
        with self.store.transaction() as session:
            change, _ = queue.held(session, claim)
            queue.later(session, change, seconds)

    def _announce(self, made: Sequence[Made]) -> None:
        for app, release in made:
            email = release.account.email
            self.logs.line(app.id, "app", "api", releases.created_by(release.version, email))
            self.logs.line(app.id, "app", "api", releases.by_user(release.description, email))


def run(configuration: Configuration) -> None:
    """Work until the process is told to stop."""
    journal = Journal("addons")
    store = Store(configuration, "addons", pool=1, burst=THREADS + 1)  # at rest each costs 4 MiB, and changes are rare
    store.wait_until_ready()
    vault = Vault(configuration.secret("encryption_key"))
    with store.transaction() as session:
        addon_services.register_own(session, vault)
    worker = Worker(
        store,
        vault,
        {addons.PARTNER: PartnerProvider(), own_services.SCHEDULER: SchedulerProvider()},
        Surroundings(configuration.api_url, configuration.stack),
        LogplexClient(configuration),
        journal,
        Reach(configuration.own_addresses, configuration.drain_networks),
        others=data_services.NAMES,
    )
    wakes = [Wake() for _ in range(THREADS)]
    done = threading.Event()
    for number, wake in enumerate(wakes, start=1):
        threading.Thread(target=work, args=(worker, wake, done), name=f"addons-{number}", daemon=True).start()
    looked = time.monotonic() - _TIDY_SECONDS
    try:
        for _ in store.notifications([ADDON_WORK], idle=30):
            for wake in wakes:
                wake.ring()
            if time.monotonic() - looked >= _TIDY_SECONDS:
                looked = time.monotonic()
                _safely(worker, lambda: queue.tidy(store))
    finally:
        done.set()  # whoever starts this anew starts threads of its own


def work(worker: Worker, wake: Wake, done: threading.Event, left: Collection[str] = ()) -> None:
    """Do what there is to do, but the actions ``left``, until ``done``, whatever goes wrong meanwhile."""
    failures = 0
    while not done.is_set():
        busy = _safely(worker, lambda: worker.step(left))
        failures = failures + 1 if busy is None else 0
        if not busy:
            wake.wait(pause(failures) if failures else INTERVAL_SECONDS)


def _safely(worker: Worker, action: Callable[[], bool | None]) -> bool | None:
    """What ``action`` returns; None, and a line in the journal, when it failed."""
    try:
        return bool(action())
    except DynoformError as error:
        worker.journal.warning("pass failed", error=error)
    except Exception as error:  # noqa: BLE001 - a thread that ended here would leave all further work undone, unseen
        worker.journal.exception("pass failed", error)
    return None
