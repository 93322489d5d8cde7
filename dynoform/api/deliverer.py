"""Delivers events to webhooks, in the API's event loop: it needs next to nothing while there is nothing to deliver."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from dynoform.api.services import Services
from dynoform.domain import webhooks
from dynoform.errors import ConfigurationError, DynoformError
from dynoform.store import deliveries
from dynoform.store.deliveries import Attempt
from dynoform.store.session import WEBHOOKS, pause

if TYPE_CHECKING:
    from dynoform.api.receivers import Poster

AT_ONCE = 8
_LONGEST_WAIT, _SHORTEST_WAIT = 30.0, 0.2
_DRAIN_SECONDS = 5.0
_TRIES = 5
T = TypeVar("T")


class Deliverer:
    """Takes what is due and posts it, a few at once. Several may run, in as many processes."""

    def __init__(self, services: Services) -> None:
        """Uses the services' store in two threads of its own, so that endpoints never wait for it."""
        self._services = services
        self._running: set[asyncio.Task[None]] = set()
        self._threads = anyio.CapacityLimiter(2)

    async def run(self) -> None:
        """Deliver until cancelled; then what is under way gets a few seconds, and else is delivered again later."""
        failures = 0
        try:
            with self._services.wakers.subscribe(WEBHOOKS) as wake:
                while True:
                    wake.clear()
                    try:
                        wait = await self._look(wake)
                        failures = 0
                    except DynoformError as error:
                        self._services.journal.warning("webhooks wait", error=error, failures=failures)
                        wait = pause(failures)
                        failures += 1
                    except Exception as error:  # noqa: BLE001 - else nothing would be delivered any more, unseen
                        self._services.journal.exception("webhooks wait", error, failures=failures)
                        wait = pause(failures)
                        failures += 1
                    with suppress(TimeoutError):
                        await asyncio.wait_for(wake.wait(), wait)
        finally:
            await self._drain()

    @cached_property
    def _poster(self) -> "Poster":
        # Megabytes of an HTTP client, which a platform without webhooks never needs.
        from dynoform.api.receivers import Poster

        return Poster(self._services.configuration)

    async def _look(self, wake: asyncio.Event) -> float:
        """Start what is due; returns for how many seconds there is nothing more to do, unless ``wake`` is set."""
        free = AT_ONCE - len(self._running)
        if free <= 0:
            return _LONGEST_WAIT
        for attempt in await self._stored(lambda: deliveries.take(self._services.store, free)):
            task = asyncio.create_task(self._deliver(attempt))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            task.add_done_callback(lambda _: wake.set())
        if len(self._running) >= AT_ONCE:
            return _LONGEST_WAIT
        due = await self._stored(lambda: deliveries.seconds_until_due(self._services.store))
        # Due at once is what somebody else is taking at this moment.
        return _LONGEST_WAIT if due is None else max(_SHORTEST_WAIT, min(due, _LONGEST_WAIT))

    async def _deliver(self, attempt: Attempt) -> None:
        try:
            code, error = await self._post(attempt)
            await self._finish(attempt, code, error)
        except DynoformError as error:
            # Nothing was written: the attempt counts as lost after a while, and another one is made.
            self._services.journal.warning("delivery unfinished", delivery=attempt.delivery_id, error=error)

    async def _post(self, attempt: Attempt) -> tuple[int | None, str | None]:
        try:
            keys = self._services.vault.decrypt(attempt.webhook_id, attempt.credentials)
        except ConfigurationError as error:
            self._services.journal.error("webhook's secret", webhook=attempt.webhook_id, error=error)
            return None, "SecretUnreadable"
        body = _body(attempt)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "dynoform-webhooks",
            "Heroku-Webhook-Id": str(attempt.webhook_id),
            "Heroku-Webhook-Hmac-SHA256": webhooks.signature(keys["secret"], body),
        }
        if "authorization" in keys:
            headers["Authorization"] = keys["authorization"]
        poster = await anyio.to_thread.run_sync(lambda: self._poster, limiter=self._threads)
        answer = await poster.post(attempt.url, headers, body)
        return answer.code, answer.error

    async def _finish(self, attempt: Attempt, code: int | None, error: str | None) -> None:
        fields = {"webhook": attempt.webhook_id, "delivery": attempt.delivery_id, "code": code, "error": error}
        self._services.journal.info("delivery attempted", **fields)
        for number in range(_TRIES):
            try:
                app_id = await self._stored(lambda: deliveries.finish(self._services.store, attempt, code, error))
                break
            except DynoformError:
                if number == _TRIES - 1:
                    raise
                await asyncio.sleep(pause(number))
        if app_id is not None:
            days = webhooks.FAILING.days
            text = f"Webhook {attempt.webhook_id} turned off: no delivery has succeeded for {days} days. Update it to"
            self._services.logs.line(app_id, "app", "api", f"{text} turn it on again")

    async def _drain(self) -> None:
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=_DRAIN_SECONDS)
            for task in late:
                task.cancel()

    async def _stored(self, action: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(action, limiter=self._threads)


def _body(attempt: Attempt) -> bytes:
    """The text that is signed and sent; without spaces, as receivers that write it anew to check it expect."""
    content = webhooks.metadata(
        attempt.payload,
        attempt=attempt.id,
        delivery=attempt.delivery_id,
        webhook=attempt.webhook_id,
        include=attempt.include,
    )
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode(errors="replace")
