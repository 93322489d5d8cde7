"""Chooses the newest of some versions that a constraint allows: ``choose.py CONSTRAINT VERSION…``.

Prints it, or fails. Constraints are written as in composer.json, Gemfile and Pipfile: ``8.4``, ``^8.2 || ^9.0``,
``~> 3.3.0``, ``>=3.11,<3.14``, ``8.*``, ``8.2 - 8.4``. A bare version means all that begin with it.
"""

import re
import sys

Version = tuple[int, ...]
_TERM = re.compile(r"(\^|~>|~=|~|>=|<=|!=|==|=|>|<)?\s*v?(\d+(?:\.\d+)*|\*)(\.[*xX])?(?:[-+@][\w.]+)?")


class UnreadableError(ValueError):
    """A constraint is not written in a way that we know."""


def parse(text: str) -> Version:
    """A version's numbers: those before the first thing that is none."""
    return tuple(int(part) for part in re.findall(r"\d+", re.match(r"[\d.]*", text)[0]))  # type: ignore[index]


def allows(constraint: str, version: Version) -> bool:
    """Does a constraint allow this version? Raises ``UnreadableError``."""
    alternatives = re.split(r"\s*\|\|?\s*", constraint.strip())
    return any(all(_holds(term, version) for term in _terms(alternative)) for alternative in alternatives)


def _terms(text: str) -> list[tuple[str, Version]]:
    hyphen = re.fullmatch(r"\s*([\d.]+)\s+-\s+([\d.]+)\s*", text)
    if hyphen:
        return [(">=", parse(hyphen[1])), ("<=", parse(hyphen[2]))]
    terms, position = [], 0
    while position < len(text):
        match = _TERM.match(text, position)
        if not match:
            raise UnreadableError(text)
        if match[2] != "*":
            terms.append((match[1] or "=", parse(match[2])))
        gap = re.compile(r"[\s,]*").match(text, match.end())
        position = gap.end() if gap else match.end()
    return terms


def _holds(term: tuple[str, Version], version: Version) -> bool:
    operator, wanted = term
    length = max(len(wanted), len(version))
    padded, given = (_pad(one, length) for one in (wanted, version))
    begins = version[: len(wanted)] == wanted
    match operator:
        case "=" | "==":
            return begins
        case "!=":
            return not begins
        case ">=":
            return given >= padded
        case "<":
            return given < padded
        case ">":
            return given > padded and not begins
        case "<=":
            return given <= padded or begins
        case "^":
            first = next((place for place, number in enumerate(wanted) if number), 0)
            return given >= padded and version[: first + 1] == _pad(wanted, first + 1)[: first + 1]
        case _:  # ~, ~>, ~=: the last number given may grow
            fixed = wanted[:-1] if len(wanted) > 1 else wanted
            return given >= padded and version[: len(fixed)] == fixed


def _pad(version: Version, length: int) -> Version:
    return version + (0,) * (length - len(version))


def main() -> int:
    """Print the newest version that the first argument allows; 1 when there is none, 2 when it cannot be read."""
    constraint, *versions = sys.argv[1:]
    try:
        allowed = [one for one in versions if allows(constraint, parse(one))]
    except UnreadableError:
        return 2
    if not allowed:
        return 1
    print(max(allowed, key=parse))
    return 0


if __name__ == "__main__":
    sys.exit(main())
