"""What a release is called and which release follows (https://devcenter.heroku.com/articles/releases)."""

import re
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

INITIAL = "Initial release"
ENABLE_LOGPLEX = "Enable Logplex"
MAXIMUM_DESCRIPTION = 200
PENDING = "pending"
SUCCEEDED = "succeeded"
FAILED = "failed"
EXPIRED = "expired"
PHASE_SECONDS = 3600
"""Longest time that a release command may take (https://devcenter.heroku.com/articles/release-phase)."""
KEPT_FOR = timedelta(days=30)
KEPT_RELEASES = 20
"""A slug expires when it is older than the one and in none of so many releases
(https://devcenter.heroku.com/changelog-items/3395)."""
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_COMMIT_SHOWN = 8


def next_version(latest: int | None) -> int:
    """The version after ``latest``; the first is 1."""
    return 1 if latest is None else latest + 1


def name(version: int) -> str:
    """``v12``, as users see it."""
    return f"v{version}"


def parse_version(text: str) -> int | None:
    """12 for ``v12`` or ``12``; None for anything else (a release's id, for instance)."""
    digits = text.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def deployed(version: str | None) -> str:
    """``Deploy abc12345``: a git commit is shortened as Heroku does, any other version is shown as it is."""
    return f"Deploy {_shortened(version)}"[:MAXIMUM_DESCRIPTION] if version else "Deploy"


def config_changed(changed: Sequence[str], removed: Sequence[str]) -> str:
    """``Set FOO, BAR config vars``, ``Remove FOO config vars``, or both in one sentence."""
    parts = []
    if changed:
        parts.append(f"Set {', '.join(changed)}")
    if removed:
        parts.append(f"{'remove' if changed else 'Remove'} {', '.join(removed)}")
    sentence = f"{', '.join(parts)} config vars"
    return sentence if len(sentence) <= MAXIMUM_DESCRIPTION else f"{parts[0][:150]}… config vars"


def rolled_back(version: int) -> str:
    """``Rollback to v46``."""
    return f"Rollback to {name(version)}"


def described(text: str) -> str:
    """A description of the user's own, cut to the length that is kept: `releases:retry` puts some words before one."""
    return text if len(text) <= MAXIMUM_DESCRIPTION else f"{text[: MAXIMUM_DESCRIPTION - 1]}…"


def no_rollback(version: int, status: str, *, has_slug: bool) -> str | None:
    """Why the app cannot be rolled back to this release; None when it can."""
    reasons = {
        EXPIRED: "its slug has expired",
        FAILED: "its release command failed",
        PENDING: "its release command has not finished",
    }
    reason = reasons.get(status) or (None if has_slug else "it has no slug")
    return reason and f"Cannot roll back to {name(version)}: {reason}. Choose a release that deployed one"


def phase_dyno(release_id: UUID) -> int:
    """The number of the dyno that runs a release's command, the 1234 in ``release.1234``: always the same one."""
    return 1000 + release_id.int % 9000


def running_command(version: int, email: str) -> str:
    """The app's log line when a release's command begins."""
    return f"Running release {name(version)} commands by user {email}"


def command_failed(version: int, reason: str) -> str:
    """The app's log line when a release is not deployed: ``Release v5 failed: the release command …``."""
    return f"Release {name(version)} failed: {reason}"


def promoted(source: str, version: int, commit: str | None) -> str:
    """``Promote myapp-staging v12 abc12345``: app and release that a slug was taken from, its commit if known."""
    words = ["Promote", source, name(version), *([_shortened(commit)] if commit else [])]
    return " ".join(words)[:MAXIMUM_DESCRIPTION]


def by_user(description: str, email: str) -> str:
    """The line that the app's log shows for a release: ``Deploy abc12345 by user ann@example.com``."""
    return f"{description} by user {email}"


def created_by(version: int, email: str) -> str:
    """The other line: ``Release v2 created by user ann@example.com``."""
    return f"Release {name(version)} created by user {email}"


def _shortened(version: str) -> str:
    return version[:_COMMIT_SHOWN] if _COMMIT.fullmatch(version) else version
