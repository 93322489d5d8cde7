"""What platform processes write to stdout: one line per event, ``level process event key=value``.

Values with spaces or quotes are quoted; line breaks never pass, so one event is one line whatever a client sends.
"""

import json
import re
import sys
import threading
import traceback
from typing import IO

_PLAIN = re.compile(r"[\w.:/@+,%*\[\]-]+")
_lock = threading.Lock()


class Journal:
    """The event log of one process. Writing never raises: a full or closed pipe must not stop a worker."""

    def __init__(self, process: str, stream: IO[str] | None = None) -> None:
        """``process`` begins each line; ``stream`` is stdout at the time of writing when left out."""
        self.process = process
        self.stream = stream

    def info(self, event: str, **fields: object) -> None:
        """Something happened that an operator may want to see."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something went wrong and is being dealt with."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something went wrong that somebody has to look at."""
        self._write("error", event, fields)

    def exception(self, event: str, error: Exception, **fields: object) -> None:
        """Something that nobody expected, a bug: its kind, where it came from and the beginning of what it says."""
        self.error(event, kind=type(error).__name__, where=_origin(error), error=str(error)[:300], **fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        words = [
            level,
            self.process,
            event,
            *(f"{key}={_value(value)}" for key, value in fields.items() if value is not None),
        ]
        stream = self.stream or sys.stdout
        try:
            with _lock:
                stream.write(" ".join(words) + "\n")
                stream.flush()
        except (OSError, ValueError):
            return


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _origin(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "dynoform" in frame.filename] or frames
    return f"{ours[-1].filename}:{ours[-1].lineno}" if ours else "unknown"
