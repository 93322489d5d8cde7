"""A job's output on its way to whoever follows it: cleaned, gathered for a moment, stored, announced."""

import threading
from collections.abc import Callable

from dynoform.attempts import attempts
from dynoform.domain.builds import Lines
from dynoform.domain.masks import Masks
from dynoform.errors import DynoformError
from dynoform.store import jobs, output
from dynoform.store.session import Store

_SECONDS = 0.15
_PIECE = 64 * 1024


class Output:
    """Takes text from the worker and bytes from its container; a thread writes them down several times a second."""

    def __init__(
        self,
        store: Store,
        claim: jobs.Claim,
        table: output.Table,
        written: Callable[[str], None] = lambda text: None,
    ) -> None:
        """For the job that ``claim`` is about; nothing is written any more once it is lost.

        ``written`` is called with each piece that has been stored.
        """
        self._store = store
        self._claim = claim
        self._table = table
        self._written = written
        self._lines = Lines()
        self._masks = Masks()
        self._waiting = ""
        self._skip = 0
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="output", daemon=True)

    def __enter__(self) -> "Output":
        """Start writing down."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Write down the rest and stop."""
        self._stopped.set()
        self._thread.join()

    def resume(self) -> None:
        """The container's output comes again from its beginning: leave out as much as an earlier attempt has stored."""
        with self._store.transaction() as session:
            self._skip = output.length(session, self._table, self._claim.id)

    def mask(self, masks: Masks) -> None:
        """From now on, do not show these values."""
        self._masks = masks
        with self._lock:
            self._lines.hide, self._lines.reach = masks.hide, masks.reach

    def masked(self, text: str) -> str:
        """A text without them."""
        return self._masks.hide(text)

    def say(self, text: str) -> None:
        """Add whole lines of the worker's own."""
        with self._lock:
            self._waiting += self.masked(text)

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Add a piece of the container's output."""
        with self._lock:
            text = self._lines.feed(data, final=final)
            self._waiting += text[self._skip :]
            self._skip = max(0, self._skip - len(text))

    def flush(self) -> None:
        """Write down all that waits. Raises ``UnavailableError`` or ``LeaseLostError``, and keeps it then."""
        with self._writing:
            while piece := self._waiting[:_PIECE]:
                with self._store.transaction() as session:
                    jobs.held(session, self._claim)
                    output.append(session, self._table, self._claim.id, piece)
                with self._lock:
                    self._waiting = self._waiting[len(piece) :]
                self._written(piece)

    def _work(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._try_to_flush(0)
        self._try_to_flush(30)

    def _try_to_flush(self, seconds: float) -> None:
        for _ in attempts(seconds):
            try:
                return self.flush()
            except jobs.LeaseLostError:
                return None  # another worker's output goes there now, or the job is finished
            except DynoformError:
                continue  # the store is away: it is tried again, at the next turn if not in this one
        return None
