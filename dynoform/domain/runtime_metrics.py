"""What a dyno uses, as Heroku logs it, and what follows when that is too much.

Lines and their units are those of https://devcenter.heroku.com/articles/log-runtime-metrics, the errors those of
https://devcenter.heroku.com/articles/error-codes (R14, R15). Numbers come from the dyno's control groups, of version 1
or 2 of the kernel's interface.
"""

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from dynoform.domain import dyno_lines
from dynoform.domain.dyno_sizes import DynoSize

SAMPLE_SECONDS = 20.0
_MIB = 1024 * 1024
_MINUTES = (1, 5, 15)


@dataclass(frozen=True)
class Usage:
    """What a dyno's processes use together; memory in bytes."""

    rss: int
    """What they have in memory for themselves, files in ``/dev/shm`` included: nobody can take it back."""
    cache: int
    """Copies of files on disk, which the kernel drops when memory is short."""
    swap: int
    cpu_seconds: float
    """Processor time since the dyno's start."""
    pages_in: int | None = None
    pages_out: int | None = None
    """Pages since the dyno's start; version 2 does not count them."""

    @property
    def memory(self) -> int:
        """What counts against the quota: a full file cache is no fault of the app's."""
        return self.rss + self.swap


def usage(memory: Mapping[str, int], swap: int, cpu_seconds: float) -> Usage:
    """What the kernel's ``memory.stat`` says, of either version.

    ``swap`` is version 2's ``memory.swap.current`` in bytes; version 1 has it among the others.
    """
    shared = _number(memory, "shmem")
    if "anon" in memory:
        return Usage(memory["anon"] + shared, max(0, _number(memory, "file") - shared), swap, cpu_seconds)
    return Usage(
        rss=_number(memory, "rss") + shared,
        cache=max(0, _number(memory, "cache") - shared),
        swap=_number(memory, "swap"),
        cpu_seconds=cpu_seconds,
        pages_in=_number(memory, "pgpgin"),
        pages_out=_number(memory, "pgpgout"),
    )


def _number(memory: Mapping[str, int], name: str) -> int:
    """Version 1 counts with all groups below in ``total_…``."""
    return memory.get(f"total_{name}", memory.get(name, 0))


def flat(text: str) -> dict[str, int]:
    """A file of the kernel's with a name and a number in each line; lines that are not so are left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


@dataclass(frozen=True)
class Load:
    """Processors in use, averaged as the kernel averages a host's load, over 1, 5 and 15 minutes.

    Of time that processes wait for a processor a control group tells nothing that can be read cheaply: unlike a host's,
    a dyno's load does not count it.
    """

    averages: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def after(self, seconds: float, cpu_seconds: float) -> "Load":
        """The load when ``cpu_seconds`` of processor time were used in the last ``seconds`` (more than 0)."""
        busy = max(0.0, cpu_seconds) / seconds

        def mixed(average: float, minutes: int) -> float:
            rest = math.exp(-seconds / (60 * minutes))
            return average * rest + busy * (1 - rest)

        one, five, fifteen = (mixed(*pair) for pair in zip(self.averages, _MINUTES, strict=True))
        return Load((one, five, fifteen))


def identity(dyno: str, app_id: uuid.UUID, dyno_id: uuid.UUID) -> str:
    """What each line begins with. Heroku's apps have numbers; ours is made from the id."""
    return f"source={dyno} dyno=heroku.{app_id.int >> 96}.{dyno_id}"


def load_line(who: str, load: Load) -> str:
    """``source=web.1 dyno=… sample#load_avg_1m=0.25 …``; ``who`` is from ``identity``."""
    pairs = zip(_MINUTES, load.averages, strict=True)
    return " ".join([who, *(f"sample#load_avg_{minutes}m={average:.2f}" for minutes, average in pairs)])


def memory_line(who: str, used: Usage, size: DynoSize) -> str:
    """``source=web.1 dyno=… sample#memory_total=21.22MB …``; ``who`` is from ``identity``."""
    bytes_ = {
        "total": used.rss + used.cache + used.swap,
        "rss": used.rss,
        "cache": used.cache,
        "swap": used.swap,
    }
    words = [f"sample#memory_{name}={count / _MIB:.2f}MB" for name, count in bytes_.items()]
    pages = (("pgpgin", used.pages_in), ("pgpgout", used.pages_out))
    words += [f"sample#memory_{name}={count}pages" for name, count in pages if count is not None]
    return " ".join([who, *words, f"sample#memory_quota={size.memory_mb:.2f}MB"])


def exceeds(used: Usage, size: DynoSize) -> bool:
    """Whether a dyno uses more than its quota: R14."""
    return used.memory > size.memory_mb * _MIB


def vastly_exceeds(used: Usage, size: DynoSize) -> bool:
    """Whether a dyno uses so much that it is stopped: R15."""
    return used.memory >= size.kill_mb * _MIB


def exceeded_lines(used: Usage, size: DynoSize) -> list[str]:
    """R14, logged at every sample while a dyno is over its quota."""
    return [_running(used.memory // _MIB, size), dyno_lines.MEMORY_EXCEEDED]


def killed_lines(size: DynoSize) -> list[str]:
    """R15: the dyno has come to the end of what its size may have."""
    return [_running(size.kill_mb, size), dyno_lines.MEMORY_VASTLY_EXCEEDED, dyno_lines.KILLING]


def _running(megabytes: int, size: DynoSize) -> str:
    return f"Process running mem={megabytes}M({100 * megabytes / size.memory_mb:.1f}%)"
