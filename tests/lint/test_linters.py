"""Linters, as tests: the same configuration here, in an editor and in CI."""

import subprocess
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT

TOOLS = CHECKOUT / ".venv" / "bin"


def tracked(*patterns: str) -> list[str]:
    """Files under version control that match, so that nobody's scratch files are judged."""
    argv = [
        "git",
        "-c",
        f"safe.directory={CHECKOUT}",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        *patterns,
    ]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (CHECKOUT / name).exists()]


def shell_scripts() -> list[str]:
    """Tracked files without an extension, or with .sh, that start with a shell's name."""
    found = []
    for name in tracked():
        file = CHECKOUT / name
        if file.suffix in ("", ".sh") and file.is_file() and not file.is_symlink():
            first = file.read_bytes()[:40].partition(b"\n")[0]
            if first.startswith(b"#!") and first.rstrip().endswith((b"/sh", b"/bash", b" bash", b" sh")):
                found.append(name)
    return found


def lint(*argv: str) -> None:
    done = subprocess.run([str(TOOLS / argv[0]), *argv[1:]], cwd=CHECKOUT, capture_output=True, text=True, timeout=800)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=["check", "format"])
def test_ruff(words: tuple[str, ...]) -> None:
    lint("ruff", *words, ".")


def test_mypy() -> None:
    lint("mypy")


def test_shellcheck() -> None:
    scripts = shell_scripts()
    assert "bin/dynoform" in scripts
    lint("shellcheck", *scripts)


def test_yamllint() -> None:
    lint("yamllint", ".")


def test_programs_can_be_run() -> None:
    scripts = [name for name in shell_scripts() if Path(name).parts[0] in ("bin", ".ci", "providers")]
    assert [name for name in scripts if not (CHECKOUT / name).stat().st_mode & 0o100] == []
