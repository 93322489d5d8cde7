"""What an operator sees: progress on standard error, results on standard output."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TextIO

QUIET_SECONDS = 2  # a step that is done sooner needs no line
REPEAT_SECONDS = 10
COLOURS = {"good": "32", "bad": "31", "dim": "2", "strong": "1"}


def duration(seconds: float) -> str:
    """``4.1 s``, ``42 s`` or ``3 min 05 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


class Step:
    """A step under way; `detail` is what it is busy with, shown with the next line."""

    def __init__(self, title: str) -> None:
        """`title` is a noun phrase or an -ing form: "building the Pulumi CLI"."""
        self.title = title
        self.detail = ""
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.started


class Console:
    """Lines for people. Colours only where there is a terminal and nobody objects (NO_COLOR)."""

    def __init__(
        self, environ: Mapping[str, str], progress: TextIO | None = None, result: TextIO | None = None
    ) -> None:
        """`progress` and `result` default to the process's standard error and output."""
        self._progress = progress or sys.stderr
        self._result = result or sys.stdout
        plain = "NO_COLOR" in environ or environ.get("TERM") == "dumb"
        self._colour = self._progress.isatty() and not plain
        self._lock = threading.Lock()

    def line(self, text: str, tone: str = "") -> None:
        """One line of progress; `tone` is one of `COLOURS` or empty."""
        if tone and self._colour:
            text = f"\x1b[{COLOURS[tone]}m{text}\x1b[0m"
        with self._lock, contextlib.suppress(BrokenPipeError):
            print(text, file=self._progress, flush=True)

    def result(self, text: str) -> None:
        """What was asked for: the only thing on standard output."""
        print(text, file=self._result, flush=True)

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Shows `title` when the block takes more than two seconds, again every ten, and how long it took."""
        step = Step(title)
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(step, over), daemon=True)
        watcher.start()
        try:
            yield step
        finally:
            over.set()
            watcher.join()
        if step.seconds > QUIET_SECONDS:
            self.line(f"✓ {title} ({duration(step.seconds)})", "good")

    def _watch(self, step: Step, over: threading.Event) -> None:
        wait = float(QUIET_SECONDS)
        while not over.wait(wait):
            so_far = f" {duration(step.seconds)}" if wait > QUIET_SECONDS else ""
            self.line(f"… {step.title}{so_far}{': ' + step.detail[:100] if step.detail else ''}", "dim")
            wait = float(REPEAT_SECONDS)


def table(rows: list[list[str]]) -> str:
    """`rows` of equal length as aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(padded)
