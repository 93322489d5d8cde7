"""Config vars that a build prints: their values are shown as ``[masked]``.

Heroku shows them, to everybody who may see the build. Whoever may see builds here need not be allowed to see config
vars, and output is kept and sent on, so a buildpack or a tool that prints its environment must not give them away.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote, urlsplit

from dynoform.domain.builds import clean

MASK = "[masked]"
SHORTEST = 8
"""Characters from which on a value is masked: shorter ones are words and numbers that any output may have."""
_OPEN = """
APP_ENV DJANGO_SETTINGS_MODULE FLASK_ENV LANG LC_ALL NODE_ENV RACK_ENV RAILS_ENV TZ
BUNDLE_WITHOUT CLOJURE_BUILD_TASK GOVERSION GO_INSTALL_PACKAGE_SPEC GO_LINKER_SYMBOL GRADLE_TASK LEIN_BUILD_TASK
MAVEN_CUSTOM_GOALS MAVEN_SETTINGS_PATH SBT_PRE_TASKS SBT_PROJECT SBT_TASKS
"""
OPEN = frozenset(_OPEN.split())
"""Config vars that are shown: they say what is built or for what, and nobody could read the output without."""


class Masks:
    """Values that do not pass."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Empty for none."""
        found = sorted(set(values), key=len, reverse=True)  # of two that begin alike, the longer one
        self.reach = max(0, len(found[0]) - 1) if found else 0
        """Characters at the end of a text that may be a value of which the rest is still to come."""
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    def hide(self, text: str) -> str:
        """The text with ``[masked]`` for each value in it."""
        return self._pattern.sub(MASK, text) if self._pattern else text


def of(config: Mapping[str, str]) -> Masks:
    """What hides these config vars: each value, or each of its lines, and the password in a URL."""
    return Masks(
        value
        for name, text in config.items()
        if name not in OPEN
        for piece in _pieces(text)
        if len(value := clean(piece).strip()) >= SHORTEST
    )


def _pieces(text: str) -> Iterator[str]:
    yield from text.splitlines()
    try:
        password = urlsplit(text.strip()).password or ""
    except ValueError:  # no URL at all
        return
    yield from (password, unquote(password))
