"""Rules of builds: how long, how big, how often, and what their output may contain.

Numbers are Heroku's where it documents them (https://devcenter.heroku.com/articles/limits#build).
"""

import codecs
import re
from collections.abc import Callable
from datetime import timedelta

MIB = 1024 * 1024
SECONDS = 25 * 60
"""Longest time that buildpacks may take."""
SOURCE_BYTES = 1024 * MIB
"""Largest source, unpacked."""
SOURCE_FILES = 200_000
MEMORY_BYTES = 2048 * MIB
PROCESSES = 512
OUTPUT_CHARACTERS = 10 * MIB
"""Most output that is kept of one build."""
UNUSED_SOURCE_KEPT = timedelta(days=2)
"""How long a source is known that nothing was built from; what was uploaded is gone after a day."""

PENDING = "pending"
SUCCEEDED = "succeeded"
FAILED = "failed"
CANCELLED = "the build was cancelled"
INTERRUPTED = "the builder was interrupted twice: push again"

_LONGEST_LINE = 16 * 1024
_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: titles, links, the clipboard
    r"|[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS and its like
    r"|[ -/]*[0-~])"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def rejected(reason: str) -> str:
    """The last line that a pusher sees of a failed build, as Heroku words it."""
    return f" !     Push rejected, {reason}."


def released(version: int, url: str, status: str) -> str:
    """What a pusher reads of the release that a build made. ``status`` is the release's."""
    waits = " !     Release command declared: this new release will not be available until the command succeeds.\n"
    return f"{waits if status == PENDING else ''}       Released v{version}\n       {url} deployed to Dynoform\n\n"


def duration(seconds: int) -> str:
    """``25 minutes``, or ``90 seconds`` where it is no whole number of them."""
    return f"{seconds // 60} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds} seconds"


def megabytes(size: int) -> str:
    """``21.6M`` for a size in bytes, as Heroku shows a slug's."""
    return f"{size / 1_000_000:.1f}M"


def clean(line: str) -> str:
    """A line of output without escape sequences and control characters, so that it cannot play with a terminal."""
    return _CONTROL.sub("", _ESCAPE.sub("", line))


class Lines:
    """Turns a build's output, bytes in pieces of any size, into clean lines, up to the most that is kept."""

    def __init__(self, limit: int = OUTPUT_CHARACTERS) -> None:
        """``limit`` is the number of characters after which the rest is left out, with a word about it."""
        self.hide: Callable[[str], str] = str
        """What is done to a clean line before it goes out."""
        self.reach = 0
        """How many characters at the end of a line that is too long stay until ``hide`` can see what they belong to."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        self._left = limit

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """The lines that this piece completes, each with its line break; with ``final`` also what has none yet."""
        text = self._rest + self._decoder.decode(data, final)
        # Progress bars return to the start of their line: each state becomes a line. At the end of a piece, that may be
        # half of a line break.
        held = "\r" if text.endswith("\r") and not final else ""
        *lines, rest = text.removesuffix(held).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = rest + held
        if self._rest and final:
            lines.append(self._rest)
            self._rest = ""
        elif len(self._rest) > _LONGEST_LINE + self.reach:
            known = self.hide(clean(self._rest))
            end = max(0, len(known) - self.reach)
            lines.append(known[:end])
            self._rest = known[end:]
        return self._limit("".join(f"{self.hide(clean(line))}\n" for line in lines))

    def _limit(self, text: str) -> str:
        if self._left <= 0:
            return ""
        kept = text[: self._left]
        self._left -= len(text)
        return kept if self._left > 0 else f"{kept}\n !     The output is too long: the rest is left out.\n"
