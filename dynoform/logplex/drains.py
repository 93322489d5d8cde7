"""Drains: each is a reader of its app's lines who remembers how far he has come, and waits for nobody else."""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime

from dynoform.domain import drain_frames, log_drains
from dynoform.domain.log_drains import Target
from dynoform.domain.log_lines import Line
from dynoform.journal import Journal
from dynoform.logplex.buffers import Buffers, Numbered
from dynoform.logplex.places import Connector, reason
from dynoform.logplex.senders import Batch, RejectedError, Sender, UnwillingError, sender
from dynoform.logplex.tail import is_told

TELL_SECONDS = 60.0
"""How often the app's log is told that a drain loses lines, and for how long one fails before that is told."""
FAILING_SECONDS = 3600.0
"""How often it is told that a drain still fails."""
KEEP_SECONDS = 1.0
"""How often it is noted how far drains have come: lines after that are sent again by the next log plane."""


_MOST_TOLD = 100
"""Lines of a few hundred bytes; together they go into one request."""


class Drain:
    """One drain. Lines stay in the app's buffer until they are sent; here is only the last one's number."""

    def __init__(self, target: Target, buffers: Buffers, sends: Sender, journal: Journal, delivered: int) -> None:
        """``delivered`` is the number of the last line that it has had; those after it are due."""
        self.target = target
        self.delivered = delivered
        self._buffers, self._sender, self._journal = buffers, sends, journal
        self._newest = buffers.bounds(target.app_id)[1]
        self._filled = asyncio.Event()
        self._lost, self._since = 0, ""
        """Lines that the drain was not told of yet, and when the first was given up."""
        self._untold, self._untold_since = 0, ""
        """The same for the app's log."""
        self._tell_at = 0.0
        self._failures, self._failing, self._complain_at = 0, 0.0, 0.0
        self._told: deque[tuple[int, bytes]] = deque(maxlen=_MOST_TOLD)
        """Lines that say what was lost on a host, by their numbers: the drain gets them, whatever else it loses."""
        self._again = (0, 0)
        """The first line of what could not be sent, and how many lines it was: it is sent again as it was."""
        if self._newest > delivered:
            self._filled.set()

    def put(self, numbered: Numbered) -> None:
        """A line has come for the app. Takes no time."""
        number = numbered.number or 0
        # An app whose lines have all gone begins again at a higher number; none came in between.
        self.delivered += number - self._newest - 1
        self._newest = number
        if is_told(numbered.line):
            self._told.append((number, numbered.line))
        if number - self.delivered > log_drains.BUFFER and not self._since:
            self._since = _now()
        self._filled.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                try:
                    async with asyncio.timeout(self._sender.idle):
                        await self._filled.wait()
                except TimeoutError:
                    self._sender.close()
                    continue
                self._filled.clear()
                while batch := self._next():
                    await self._deliver(batch)
        finally:
            self._sender.close()

    def _next(self) -> Batch | None:
        before, newest = self._buffers.bounds(self.target.app_id)
        window = drain_frames.window(self.delivered, newest, before)
        if window is None:
            return None
        if window.dropped:
            self._give_up(window.dropped)
        lines = self._buffers.texts(self.target.app_id, window.first, window.waiting)
        if self._again[0] == window.first:
            lines = lines[: self._again[1]]
        own = [line for number, line in self._told if number < window.first]
        if self._lost:
            own.append(_line(self._since, drain_frames.overflow(self._lost, self._since)))
        return Batch(self._buffers.run, window.first, [*own, *lines], len(own), self._lost)

    async def _deliver(self, batch: Batch) -> None:
        self._again = (batch.first, len(batch.lines) - batch.own)
        try:
            number = await self._sender.send(batch)
        except RejectedError as error:
            self._give_up(error.number - batch.own)
            await self._failed(str(error), error)
        except UnwillingError as error:
            await self._failed(str(error), error)
        except (OSError, UnicodeError) as error:  # TimeoutError is one; the second: a name that no resolver takes
            await self._failed(reason(error), error)
        except Exception as error:  # noqa: BLE001 - else it would deliver nothing any more, unseen
            self._journal.exception("drain", error, drain=self.target.id)
            await self._failed("an error of the platform's", error)
        else:
            self.delivered += number - batch.own
            if batch.own:
                self._lost -= batch.dropped
                self._since = _now() if self._lost else ""
            while self._told and self._told[0][0] <= self.delivered:
                self._told.popleft()
            self._failures, self._failing = 0, 0.0
            self._tell()

    def _give_up(self, number: int) -> None:
        self.delivered += number
        self._since = self._since or _now()
        self._untold_since = self._untold_since or self._since
        self._lost += number
        self._untold += number

    async def _failed(self, why: str, error: BaseException) -> None:
        now = time.monotonic()
        self._failing = self._failing or now
        self._failures += 1
        self._tell()
        certificate = isinstance(error, ssl.SSLCertVerificationError)
        if now >= self._complain_at and (certificate or now - self._failing >= TELL_SECONDS):
            self._complain_at = now + FAILING_SECONDS
            self._journal.info("drain fails", drain=self.target.id, app=self.target.app_id, why=why)
            code = "Error L14 (Certificate validation error)" if certificate else "Drain fails"
            self._say(f"{code}: drain '{self.target.token}': {why}. It is tried again.")
        asked = error.seconds if isinstance(error, UnwillingError) else 0.0
        await asyncio.sleep(max(asked, log_drains.pause(self._failures)))

    def _tell(self) -> None:
        """Write to the app's log what was lost, as Heroku does, but not all the time."""
        now = time.monotonic()
        if self._untold and now >= self._tell_at:
            self._tell_at = now + TELL_SECONDS
            self._say(drain_frames.overflow(self._untold, self._untold_since, self.target.token))
            self._untold, self._untold_since = 0, ""

    def _say(self, text: str) -> None:
        self._buffers.append(self.target.app_id, _line(_now(), text))
        self._buffers.flush()


class Drains:
    """All drains, as the API says that they are."""

    def __init__(self, buffers: Buffers, connector: Connector, journal: Journal) -> None:
        """None before the first ``apply``."""
        self.version = ""
        """What the API called the drains that it told of last."""
        self._buffers, self._connector, self._journal = buffers, connector, journal
        self._cursors = buffers.files.cursors() if buffers.files else {}
        """How far drains had come that the API has not told of yet."""
        self._running: dict[str, tuple[Drain, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._running)

    def apply(self, version: str, targets: Iterable[Target]) -> None:
        """Have these drains and no others; those that have not changed go on as they are."""
        wanted = {target.id: target for target in targets}
        for identifier, (drain, _) in list(self._running.items()):
            if wanted.get(identifier) != drain.target:
                self._end(identifier)
        for identifier, target in wanted.items():
            if identifier not in self._running:
                self._begin(target)
        self.version = version
        self._cursors = {}

    async def keep(self) -> None:
        """Note how far they have come, for the next log plane."""
        files = self._buffers.files
        known: dict[str, int] = {}
        while files is not None:
            await asyncio.sleep(KEEP_SECONDS)
            cursors = {identifier: drain.delivered for identifier, (drain, _) in self._running.items()}
            if self.version and cursors != known:
                files.keep_cursors(cursors)
                known = cursors

    async def close(self) -> None:
        """End all of them, and note how far they have come."""
        tasks = [task for _, task in self._running.values()]
        if self._buffers.files is not None and self.version:
            self._buffers.files.keep_cursors({id_: drain.delivered for id_, (drain, _) in self._running.items()})
        for identifier in list(self._running):
            self._end(identifier)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, target: Target) -> None:
        newest = self._buffers.bounds(target.app_id)[1]
        delivered = min(self._cursors.get(target.id, newest), newest)
        drain = Drain(target, self._buffers, sender(target, self._connector), self._journal, delivered)
        self._buffers.follow(target.app_id, drain.put)
        self._running[target.id] = drain, asyncio.create_task(drain.run())

    def _end(self, identifier: str) -> None:
        drain, task = self._running.pop(identifier)
        self._buffers.leave(drain.target.app_id, drain.put)
        self._cursors[identifier] = drain.delivered  # another URL goes on where this one was
        task.cancel()


def _line(time_: str, text: str) -> bytes:
    return Line("", "heroku", "logplex", time_, text).render()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
