"""Rules of ``git push``: which push is built, and what the pusher reads, in Heroku's words.

https://devcenter.heroku.com/articles/git: only ``main`` and ``master`` deploy, other branches are only kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dynoform.domain import builds, releases
from dynoform.errors import InvalidInputError

BRANCHES = ("main", "master")
"""What a push deploys from."""
MAXIMUM_BYTES = 1024**3
"""Largest push (https://devcenter.heroku.com/articles/limits#git-repos)."""
SKIPPED = "Pushed to non-main branch, skipping build.\n"
COMPRESSING = "Compressing source files..."
BUILDING = "Building source:\n\n"
VERIFYING = "Verifying deploy..."
RUNNING = "Running release command...\n\n"
WAITING = "Waiting for release...."
DONE = " done.\n"
FAILED = " failed.\n"
SHALLOW = "source repository is a shallow clone. Unshallow it with `git fetch --all --unshallow` and try pushing again."
_UNKNOWN = "see `heroku releases` whether it was deployed all the same, and push again if it was not"
TOO_LATE = f"it took too long: {_UNKNOWN}"
INTERRUPTED = f"the platform was interrupted: {_UNKNOWN}"
TOO_LARGE = (
    f"its files are larger than {MAXIMUM_BYTES} bytes when compressed, which is the most that is built: keep what need "
    "not be deployed out of the repository"
)
DEPLOYED = "{branch} is at this commit already: an earlier push whose connection broke has deployed it"
QUEUED = "Waiting for another push to this app to end...\n"
_HEADS = "refs/heads/"
_MAXIMUM_SHOWN = 80


class Update(NamedTuple):
    """One line that git tells its hooks: a ref's object before and after, as hexadecimal ids; zeros for none."""

    old: str
    new: str
    ref: str

    @property
    def branch(self) -> str:
        """``main`` of ``refs/heads/main``; empty for a ref that is not a branch."""
        return self.ref.removeprefix(_HEADS) if self.ref.startswith(_HEADS) else ""


def parse(text: str) -> list[Update]:
    """The updates that a hook reads: lines of ``old new ref``."""
    return [Update(*line.split(" ", 2)) for line in text.splitlines() if line.count(" ") >= 2]


def to_build(updates: Sequence[Update]) -> Update | None:
    """The update to build; None when the push has none.

    Raises ``InvalidInputError``, completing "Push rejected, …", for a push that deletes what is deployed from, or
    leaves open which of two commits to deploy.
    """
    deploying = [update for update in updates if update.branch in BRANCHES]
    for update in deploying:
        if is_none(update.new):
            raise InvalidInputError(f"cannot delete {update.branch} branch")
    if len(deploying) > 1:
        raise InvalidInputError(f"cannot deploy {' and '.join(BRANCHES)} at once: push one of them")
    return deploying[0] if deploying else None


def accepted(build: str, release: str | None) -> bool | None:
    """Whether what was pushed is deployed, by the status of its build and of its release; None while that is open."""
    if build == builds.PENDING or (build == builds.SUCCEEDED and release == releases.PENDING):
        return None
    return build == builds.SUCCEEDED and release != releases.FAILED


def is_none(object_id: str) -> bool:
    """Is this the id that git writes for no object, of a branch that is made or deleted?"""
    return not object_id.strip("0")


def rejected(reason: str) -> str:
    """Why nothing was built."""
    return f"\n!\tPush rejected, {reason}\n\n"


def rejected_to(app_name: str) -> str:
    """The last words about a build or release that failed."""
    return f"\n!\tPush rejected to {app_name[:_MAXIMUM_SHOWN]}.\n\n"


def no_such_app(reference: str) -> str:
    """What somebody reads who asks for an app that does not exist, or not for them."""
    return f"!\tNo such app as {reference[:_MAXIMUM_SHOWN]}.\n"


UNAUTHORIZED = (
    "!\tWARNING:\n"
    "!\tDo not authenticate with username and password using git.\n"
    "!\tRun `heroku login` to update your credentials, then retry the git command.\n"
)


def refused(message: str) -> str:
    """Any other answer to a request of git's, for the user to read."""
    return f"!\t{message}\n"
