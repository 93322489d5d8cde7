"""Why a build is not let go on."""

from dynoform.build.keeper import Keeper
from dynoform.build.room import Room
from dynoform.domain import builds
from dynoform.errors import InvalidInputError


class BuildRejectedError(InvalidInputError):
    """The app's own part of the build gave up, or was ended; ``what`` completes "Push rejected, …"."""


def check(keeper: Keeper, room: Room, seconds: float) -> None:
    """Raise ``LeaseLostError`` when the build is no longer ours, ``BuildRejectedError`` when it took too much."""
    keeper.check()
    if keeper.late:
        raise BuildRejectedError(f"the build took longer than {builds.duration(int(seconds))}")
    if room.filled:
        raise BuildRejectedError("the build filled the disk of its host")


def out_of_memory() -> BuildRejectedError:
    """The error of a build whose memory was not enough."""
    return BuildRejectedError(f"the build needed more than {builds.megabytes(builds.MEMORY_BYTES)} of memory")
