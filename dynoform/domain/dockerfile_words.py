"""Words of a Dockerfile: quotes, escapes and variables, as Docker reads them.

https://docs.docker.com/reference/dockerfile/#environment-replacement
"""

import re
from collections.abc import Callable, Mapping

_VARIABLE = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-+])([^}]*))?\})")
_IN_QUOTES = '"\\$`'


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``text`` without its quotes, variables replaced: ``$x``, ``${x}``, ``${x:-word}``, ``${x:+word}``."""
    return "".join(_Reader(text, variables, splits=False).read())


def split(text: str, variables: Mapping[str, str]) -> list[str]:
    """The same in words, parted by white space that is not quoted. What a variable holds stays one word."""
    return _Reader(text, variables, splits=True).read()


class _Reader:
    """One pass over a text; each part of it is read by a function of its own."""

    def __init__(self, text: str, variables: Mapping[str, str], *, splits: bool) -> None:
        self._text = text
        self._variables = variables
        self._splits = splits
        self._place = 0
        self._word: list[str] | None = None
        self._words: list[str] = []

    def read(self) -> list[str]:
        parts: dict[str, Callable[[], str]] = {
            "'": self._single,
            '"': self._double,
            "\\": self._escaped,
            "$": self._variable,
        }
        while self._place < len(self._text):
            character = self._text[self._place]
            if self._splits and character.isspace():
                self._end()
                self._place += 1
                continue
            self._word = self._word or []
            self._word.append(parts.get(character, self._plain)())
        self._end()
        return self._words

    def _end(self) -> None:
        if self._word is not None:
            self._words.append("".join(self._word))
        self._word = None

    def _plain(self) -> str:
        self._place += 1
        return self._text[self._place - 1]

    def _single(self) -> str:
        end = self._text.find("'", self._place + 1)
        end = len(self._text) if end < 0 else end
        found = self._text[self._place + 1 : end]
        self._place = end + 1
        return found

    def _double(self) -> str:
        self._place += 1
        found: list[str] = []
        while self._place < len(self._text) and self._text[self._place] != '"':
            character = self._text[self._place]
            if character == "\\" and self._text[self._place + 1 : self._place + 2] in _IN_QUOTES:
                found.append(self._escaped())
            else:
                found.append(self._variable() if character == "$" else self._plain())
        self._place += 1
        return "".join(found)

    def _escaped(self) -> str:
        self._place += 2
        return self._text[self._place - 1 : self._place]

    def _variable(self) -> str:
        match = _VARIABLE.match(self._text, self._place)
        if match is None:
            return self._plain()
        self._place = match.end()
        value = self._variables.get(match[1] or match[2])
        if match[3] is None:
            return value or ""
        is_there = bool(value) if match[3].startswith(":") else value is not None
        word = expand(match[4], self._variables)
        if match[3].endswith("-"):
            return (value or "") if is_there else word
        return word if is_there else ""
