"""Heroku's dyno sizes, as data.

Memory, kill factors and compute are those of https://devcenter.heroku.com/articles/dyno-memory-behavior and
/dyno-types; prices are the public monthly ones, for display only.
"""

from dataclasses import dataclass

from dynoform.errors import InvalidInputError

DEFAULT = "Standard-1X"
SHARES = 256
"""CPU weight of one compute unit: a quarter of what router, API and all else of the platform have."""
FILES = 10_000
"""Open files of each process, as on Heroku."""


@dataclass(frozen=True)
class DynoSize:
    """One size of dyno."""

    name: str
    memory_mb: int
    """Memory quota in MiB; above it R14 is logged."""
    kill_mb: int
    """Hard limit in MiB; above it the dyno is killed (R15)."""
    compute: int
    """Heroku's compute units: 1 for a Standard-1X."""
    cpus: int
    """Processors that its processes may use together, also when others are idle."""
    pids: int
    """Processes and threads together."""
    dedicated: bool
    """Whether the size has cores of its own."""
    dyno_units: float
    """What one of these costs in dyno units (a Standard-1X is 1)."""
    price_cents: int
    """US cents per month."""

    @property
    def cpu_shares(self) -> int:
        """Relative weight while processors are busy; the platform's own processes have the engine's 1024."""
        return SHARES * self.compute


def _size(
    name: str,
    memory: int,
    kill: int,
    compute: int,
    cpus: int,
    pids: int,
    units: float,
    dollars: int,
    *,
    own: bool = False,
) -> DynoSize:
    return DynoSize(name, memory, kill, compute, cpus, pids, own, units, dollars * 100)


SIZES: tuple[DynoSize, ...] = (
    _size("Eco", 512, 1024, 1, 1, 256, 0.28, 5),
    _size("Basic", 512, 1024, 1, 1, 256, 0.28, 7),
    _size("Standard-1X", 512, 1024, 1, 1, 256, 1, 25),
    _size("Standard-2X", 1024, 2048, 2, 2, 512, 2, 50),
    _size("Performance-M", 2560, 5120, 12, 2, 16384, 8, 250, own=True),
    _size("Performance-L", 14336, 28672, 50, 8, 32768, 16, 500, own=True),
    _size("Performance-L-RAM", 30720, 36864, 24, 4, 32768, 16, 500, own=True),
    _size("Performance-XL", 63488, 75776, 50, 8, 32768, 24, 750, own=True),
    _size("Performance-2XL", 129024, 154624, 100, 16, 32768, 48, 1500, own=True),
)
_BY_NAME = {size.name.lower(): size for size in SIZES} | {"1x": SIZES[2], "2x": SIZES[3]}


def find(name: str) -> DynoSize:
    """The size of that name, in any case (``standard-1x``). ``InvalidInputError`` for one that Heroku has not."""
    size = _BY_NAME.get(name.lower())
    if size is None:
        known = ", ".join(size.name for size in SIZES)
        raise InvalidInputError(f"Couldn't find that dyno size ({name}). Available sizes are: {known}.")
    return size


def check_fits(name: str, memory_bytes: int | None) -> None:
    """Raises ``InvalidInputError`` for a size whose memory the largest host, of ``memory_bytes``, has not.

    None, when no host is known, lets every size pass.
    """
    size = find(name)
    if memory_bytes is not None and size.memory_mb * 1024 * 1024 > memory_bytes:
        raise InvalidInputError(
            f"Cannot use dyno size {size.name}: it needs {_gigabytes(size.memory_mb)} GB of memory, and the largest "
            f"host has {_gigabytes(memory_bytes / 1024 / 1024)} GB. Use a smaller size, or add a larger host."
        )


def _gigabytes(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f}".removesuffix(".0")
