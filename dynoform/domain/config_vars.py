"""Config vars: which names and values are allowed, how a change is merged (https://devcenter.heroku.com/articles/config-vars)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dynoform.errors import InvalidInputError

MAXIMUM_BYTES = 64 * 1024
"""All names and values of an app together, in UTF-8."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True)
class Change:
    """What merging a PATCH gives: all config vars after it, and the names that it really changed."""

    config: dict[str, str]
    set: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether nothing changed, so that no release is due."""
        return not self.set and not self.removed


def merge(present: Mapping[str, str], patch: Mapping[str, str | None]) -> Change:
    """``present`` with ``patch`` laid over it; None removes a name.

    Raises ``InvalidInputError`` for a name that no shell can export, a value with a NUL, or more than 64 KB in all.
    """
    for name, value in patch.items():
        _check(name, value)
    config = {name: value for name, value in {**present, **patch}.items() if value is not None}
    size = sum(len(name.encode()) + len(value.encode()) for name, value in config.items())
    if size > MAXIMUM_BYTES:
        raise InvalidInputError(
            f"Config vars are limited to {MAXIMUM_BYTES} bytes in total, these would be {size}. Remove or shorten some"
        )
    changed = tuple(name for name, value in patch.items() if value is not None and present.get(name) != value)
    return Change(config, changed, tuple(name for name, value in patch.items() if value is None and name in present))


def rolled_back(
    target: Mapping[str, str], had: Iterable[str], present: Mapping[str, str], attached: Iterable[str]
) -> dict[str, str]:
    """The config vars of a rollback to ``target``: what add-ons set stays as it is now.

    ``had`` are the names that add-ons had set in the target, ``attached`` those that they set at ``present``. An
    add-on's former credentials are dead, and those of one that has come since are still needed
    (https://devcenter.heroku.com/articles/releases#rollback). Raises ``InvalidInputError`` as ``merge`` does.
    """
    gone = set(had)
    kept = {name: value for name, value in target.items() if name not in gone}
    return merge(kept, {name: present[name] for name in attached if name in present}).config


def check_unattached(patch: Iterable[str], attached: Mapping[str, str]) -> None:
    """Raise ``InvalidInputError`` when a change touches what an add-on sets (config var → attachment's name)."""
    names = sorted(set(patch) & set(attached))
    if names:
        owners = ", ".join(sorted({attached[name] for name in names}))
        raise InvalidInputError(
            f"Cannot overwrite attachment values {', '.join(names)}. They come with {owners}: detach or attach add-ons"
        )


def _check(name: str, value: str | None) -> None:
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidInputError(
            f"Config var name {name[:60]!r} is invalid: use letters, digits and underscores, no digit first"
        )
    if value is not None and _UNUSABLE.search(value):
        raise InvalidInputError(
            f"Config var {name} has a value that no process can be given: remove NUL bytes and lone surrogates"
        )
