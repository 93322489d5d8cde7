"""What a release is called and which release follows (https://devcenter.heroku.com/articles/releases)."""

import re
from collections.abc import Sequence

INITIAL = "Initial release"
ENABLE_LOGPLEX = "Enable Logplex"
MAXIMUM_DESCRIPTION = 200
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
