"""Which commands of Heroku's CLI work: every one that was recorded, and the tests that prove it.

``invocations.txt`` has the command lines that Heroku's own platform was recorded with, by group, and further ones. A
test says with ``@covers`` which of them it checks, and fails when it did not run them. From both comes the table in
``docs/reference/heroku-cli.md``: what no test covers is missing, and ``remarks.toml`` says why.
"""

import functools
import importlib
import re
import shlex
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dynoform.cli.places import CHECKOUT

HERE = Path(__file__).parent
PAGE = CHECKOUT / "docs" / "reference" / "heroku-cli.md"
MODULES = sorted(
    ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
    for folder in ("heroku", "e2e")
    for path in (CHECKOUT / "tests" / folder).glob("test_*.py")
)
"""Where tests that cover commands are."""
Test = Callable[..., None]


@dataclass
class Proof:
    """Who checks a command line: tests as ``module.test``, and what does not work, if something does not."""

    tests: set[str] = field(default_factory=set)
    lacks: str = ""


FAILED = (1, 2)
"""Exit codes of a command that did not do its work; any other is that of a program in a dyno."""
PROOFS: dict[str, Proof] = {}


def covers(*lines: str, lacks: str = "") -> Callable[[Test], Test]:
    """Decorator: the test checks what these recorded command lines do; ``lacks`` says what of it does not work.

    The test takes the fixture ``heroku``, and fails if at its end that has not run a command of each line's shape.
    """

    def register(test: Test) -> Test:
        for line in lines:
            proof = PROOFS.setdefault(line, Proof())
            proof.tests.add(f"{test.__module__}.{test.__name__}")
            proof.lacks = lacks or proof.lacks

        @functools.wraps(test)
        def checked(*arguments: Any, **fixtures: Any) -> None:
            test(*arguments, **fixtures)
            check(lines, [ran.line for ran in fixtures["heroku"].ran if ran.code not in FAILED])

        return checked

    return register


def check(claimed: Iterable[str], ran: Iterable[str]) -> None:
    """Fail unless for each line claimed, one of the same shape was run: names and values may be others."""
    missing = Counter(map(shape, claimed)) - Counter(map(shape, ran))
    assert not missing, f"said to be covered, but not run: {[' '.join(map(str, one)) for one in missing]}"


def shape(line: str) -> tuple[str, tuple[str, ...], int]:
    """A command line without its names and values: the command, its options, how many other words."""
    command, *rest = shlex.split(line)
    before = rest[: rest.index("--")] if "--" in rest else rest
    options = sorted(word.partition("=")[0] for word in before if word.startswith("-"))
    return command, (*options, *(["--"] if "--" in rest else [])), len(rest) - len(options)


def groups() -> dict[str, list[str]]:
    """The recorded command lines, by group."""
    found: dict[str, list[str]] = {}
    for line in (HERE / "invocations.txt").read_text().splitlines():
        if line.startswith("["):
            lines = found.setdefault(line.strip("[]"), [])
        elif line:
            lines.append(line)
    return found


def remarks() -> dict[str, str]:
    """Why command lines are missing: a line, or the first word of several, to a sentence."""
    return dict(tomllib.loads((HERE / "remarks.toml").read_text())["missing"])


def load() -> Mapping[str, Proof]:
    """All proofs: imports the modules with tests that cover commands."""
    for module in MODULES:
        importlib.import_module(module)
    return PROOFS


def page() -> str:
    """The document."""
    proofs, reasons, all_groups = load(), remarks(), groups()
    states = {line: state(proofs.get(line)) for lines in all_groups.values() for line in lines}
    counts = Counter(states.values())
    text = [
        "# Commands of Heroku's CLI",
        "",
        "Generated: `bin/dynoform test tests/docs/test_heroku_cli.py --record` writes it anew.",
        "",
        f"Of {len(states)} command lines, most of them recorded on Heroku, {counts['pass']} pass, "
        f"{counts['partial']} pass in part and {counts['missing']} are missing. The unmodified CLI runs each one that "
        "passes in the test named, which checks its effect on the platform.",
    ]
    for name, lines in all_groups.items():
        text += ["", f"## {name}", "", "| command | state | test or reason |", "|---|---|---|"]
        text += [f"| `{line}` | {states[line]} | {_remark(line, proofs.get(line), reasons)} |" for line in lines]
    return "\n".join(text) + "\n"


def state(proof: Proof | None) -> str:
    """``pass``, ``partial`` or ``missing``."""
    return "missing" if proof is None else "partial" if proof.lacks else "pass"


def _remark(line: str, proof: Proof | None, reasons: Mapping[str, str]) -> str:
    if proof is not None:
        places = sorted({re.sub(r"\.test_\w+$", "", test).removeprefix("tests.") for test in proof.tests})
        names = ", ".join(f"`{place.replace('.', '/')}.py`" for place in places)
        return f"{names}; {proof.lacks}" if proof.lacks else names
    return reason(line, reasons)


def reason(line: str, reasons: Mapping[str, str]) -> str:
    """Why a line is missing: what is said of the whole line, else of its command, else of a topic above that."""
    parts = line.split()[0].split(":")
    commands = [":".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((reasons[key] for key in (line, *commands) if key in reasons), "")
