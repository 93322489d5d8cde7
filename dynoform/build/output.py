"""A build's output on its way to whoever follows it: cleaned, gathered for a moment, stored, announced."""

import threading

from dynoform.build import queue
from dynoform.domain.builds import Lines
from dynoform.errors import DynoformError
from dynoform.store.session import Store, attempts

_SECONDS = 0.15
_PIECE = 64 * 1024


class Output:
    """Takes text from the builder and bytes from its container; a thread writes them down several times a second."""

    def __init__(self, store: Store, claim: queue.Claim) -> None:
        """For the build that ``claim`` is about; nothing is written any more once it is lost."""
        self._store = store
        self._claim = claim
        self._lines = Lines()
        self._waiting = ""
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

    def say(self, text: str) -> None:
        """Add whole lines of the builder's own."""
        with self._lock:
            self._waiting += text

    def feed(self, data: bytes, *, final: bool = False) -> None:
        """Add a piece of the container's output."""
        with self._lock:
            self._waiting += self._lines.feed(data, final=final)

    def flush(self) -> None:
        """Write down all that waits. Raises ``UnavailableError`` or ``LeaseLostError``, and keeps it then."""
        with self._writing:
            while piece := self._waiting[:_PIECE]:
                with self._store.transaction() as session:
                    queue.held(session, self._claim)
                    queue.say(session, self._claim.build_id, piece)
                with self._lock:
                    self._waiting = self._waiting[len(piece) :]

    def _work(self) -> None:
        while not self._stopped.wait(_SECONDS):
            self._try_to_flush(0)
        self._try_to_flush(30)

    def _try_to_flush(self, seconds: float) -> None:
        for _ in attempts(seconds):
            try:
                return self.flush()
            except queue.LeaseLostError:
                return None  # another builder's output goes there now
            except DynoformError:
                continue  # the store is away: it is tried again, at the next turn if not in this one
        return None
