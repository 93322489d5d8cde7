"""What a process gives back when it has started: the memory that only its start needed."""

import ctypes
import gc
import threading

SECONDS = 20.0
"""After which a process has imported what it uses, and made its first round."""


def give_back_later() -> None:
    """Once, in a thread: what is free in the C library's heap, between what stays, goes back to the system."""
    timer = threading.Timer(SECONDS, _give_back)
    timer.daemon = True
    timer.start()


def _give_back() -> None:
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's own
    if trim is not None:
        trim(0)
