"""What the runs of the tests came to, at the very end, where a long output is looked at first."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

LAST_LINES = 15
MOST_FAILURES = 10
FAILED = 1
ENDS = {
    FAILED: "failed",
    2: "was interrupted",
    3: "had an error in pytest itself",
    4: "was called wrongly",
    5: "found no test",
}
"""pytest's exit codes (pytest.ExitCode); the first: tests did."""


@dataclass(frozen=True)
class Failure:
    """A test that failed, or a part of pytest: where, and what it said last."""

    name: str
    text: str


def verdict(title: str, code: int, report: Path) -> Iterator[str]:
    """Lines about a run: how it ended and, unless it passed, which tests failed with what.

    ``title`` says which run, ``code`` is its exit code, ``report`` the JUnit file that pytest wrote (missing when it
    was killed).
    """
    if not code:
        yield f"{title}: passed"
        return
    yield f"{title}: {ENDS.get(code, 'ended early')}, exit code {code}"
    if not report.exists():
        yield f"  no report was written ({report.name})"
        return
    yield from _told(report)


def second_verdict(title: str, code: int, first: Path, second: Path) -> Iterator[str]:
    """Lines about a run whose failures were tried once more: which failed then too or, unless any did, which passed.

    ``code`` is the exit code of the second try; ``first`` and ``second`` are the JUnit files of both.
    """
    if code:
        yield from verdict(f"{title}, beside the others and alone", code, second)
        return
    yield f"{title}: passed, these only when they were tried once more, alone:"
    yield from _told(first)


def _told(report: Path) -> Iterator[str]:
    found = list(failures(report))
    for failure in found[:MOST_FAILURES]:
        yield f"  {failure.name}"
        yield from (f"    {line}" for line in failure.text.splitlines()[-LAST_LINES:])
    if len(found) > MOST_FAILURES:
        yield f"  and {len(found) - MOST_FAILURES} more"


def failures(report: Path) -> Iterator[Failure]:
    """What failed, by a JUnit report."""
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 pytest wrote it for us
        for kind in ("failure", "error"):
            for found in case.iter(kind):
                name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
                yield Failure(name, (found.text or found.get("message") or "").strip())
