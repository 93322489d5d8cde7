"""What `test` says at its end, by the reports that pytest itself writes."""

import subprocess
import sys
from pathlib import Path

from dynoform.cli.commands.test import MOST_AGAIN, ON_ALL_CORES, Run, worth_another_try
from dynoform.cli.verdict import LAST_LINES, MOST_FAILURES, second_verdict, verdict


def report(folder: Path, tests: str, conftest: str = "") -> tuple[int, Path]:
    """pytest's exit code and report for these tests."""
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    file = folder / "report.xml"
    argv = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={file}", str(folder)]
    return subprocess.run(argv, cwd=folder, capture_output=True, timeout=600).returncode, file


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


DISTURBED = """
from pathlib import Path
def test_steady():
    with Path(__file__).with_name("calls").open("a") as file: file.write("steady ")
def test_disturbed():
    assert Path(__file__).with_name("calm").exists(), "too slow"
"""


def tried(folder: Path, *words: str) -> tuple[Run, int]:
    """A run of two tests, of which one is disturbed; and its exit code."""
    (folder / "test_it.py").write_text(DISTURBED, encoding="utf-8")
    run = Run("others", (*words, "-q", str(folder)), folder)
    return run, pytest_says(folder, run.first())


def pytest_says(folder: Path, words: list[str]) -> int:
    argv = [sys.executable, "-P", "-m", "pytest", *words]
    return subprocess.run(argv, cwd=folder, timeout=600, check=False).returncode


def test_what_fails_beside_other_runs_is_tried_once_more_alone_and_named_when_it_passes(tmp_path: Path) -> None:
    run, code = tried(tmp_path, *ON_ALL_CORES)
    assert (code, worth_another_try([run], [code])) == (1, [0])
    (tmp_path / "calm").touch()
    code = pytest_says(tmp_path, run.second())
    first, name, *rest = second_verdict("others", code, run.report, run.second_report)
    assert first == "others: passed, these only when they were tried once more, alone:"
    assert name == "  test_it::test_disturbed" and "AssertionError: too slow" in "\n".join(rest)
    assert (tmp_path / "calls").read_text(encoding="utf-8") == "steady "


def test_what_fails_a_second_time_has_failed(tmp_path: Path) -> None:
    run, _ = tried(tmp_path)
    code = pytest_says(tmp_path, run.second())
    first, name, *_ = second_verdict("others", code, run.report, run.second_report)
    assert first == "others, beside the others and alone: failed, exit code 1"
    assert name == "  test_it::test_disturbed"


def test_there_is_no_second_try_when_much_failed_or_pytest_did(tmp_path: Path) -> None:
    runs = [Run(title, (), tmp_path) for title in ("others", "parts", "dynos")]
    case = "<testcase classname='test_it' name='test_one'><failure>wrong</failure></testcase>"
    runs[0].report.write_text(f"<testsuites>{case}</testsuites>", encoding="utf-8")
    assert worth_another_try(runs, [1, 0, 3]) == [0]
    runs[1].report.write_text(f"<testsuites>{case * MOST_AGAIN}</testsuites>", encoding="utf-8")
    assert worth_another_try(runs, [1, 1, 3]) == []
