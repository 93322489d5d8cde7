"""What `test` says at its end, by the reports that pytest itself writes."""

import subprocess
import sys
from pathlib import Path

from dynoform.cli.verdict import LAST_LINES, MOST_FAILURES, verdict


def report(folder: Path, tests: str, conftest: str = "") -> tuple[int, Path]:
    """pytest's exit code and report for these tests."""
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    file = folder / "report.xml"
    argv = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", str(folder)]
    return subprocess.run(argv, cwd=folder, capture_output=True, timeout=60).returncode, file


def said(title: str, code: int, file: Path) -> list[str]:
    return list(verdict(title, code, file))


def test_a_run_that_passed_is_one_line(tmp_path: Path) -> None:
    assert said("parts", *report(tmp_path, "def test_one(): pass")) == ["parts: passed"]


def test_failures_and_errors_are_named_with_their_last_lines(tmp_path: Path) -> None:
    tests = (
        "import pytest\n"
        "@pytest.fixture\ndef broken():\n    yield\n    raise ValueError('at the end')\n"
        "def test_wrong(): assert 1 == 2, 'as it should not be'\n"
        "def test_after(broken): pass\n"
    )
    first, *rest = said("parts", *report(tmp_path, tests))
    assert first == "parts: failed, exit code 1"
    assert "  test_it::test_wrong" in rest and "  test_it::test_after" in rest
    text = "\n".join(rest)
    assert "AssertionError: as it should not be" in text and "ValueError: at the end" in text


def test_many_failures_with_long_texts_stay_few_lines(tmp_path: Path) -> None:
    tests = (
        "import pytest\n"
        "@pytest.mark.parametrize('number', range(30))\ndef test_wrong(number): raise ValueError('x\\n' * 100)\n"
    )
    lines = said("parts", *report(tmp_path, tests))
    assert lines[-1] == f"  and {30 - MOST_FAILURES} more"
    assert len(lines) <= 2 + MOST_FAILURES * (1 + LAST_LINES)


def test_an_error_in_pytest_itself_is_told(tmp_path: Path) -> None:
    broken = "def pytest_runtest_logfinish(): raise OSError('no such descriptor')"
    lines = said("others", *report(tmp_path, "def test_one(): pass", broken))
    assert lines[:2] == ["others: had an error in pytest itself, exit code 3", "  pytest::internal"]
    assert "OSError: no such descriptor" in "\n".join(lines)


def test_a_run_that_was_killed_has_no_report(tmp_path: Path) -> None:
    expected = ["others: ended early, exit code -9", "  no report was written (others.xml)"]
    assert said("others", -9, tmp_path / "others.xml") == expected
