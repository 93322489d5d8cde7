"""bin/dynoform makes a whole virtualenv or none: tried in checkouts of its own, with locks that need no network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from dynoform.cli.places import CHECKOUT

pytestmark = pytest.mark.slow
SECONDS = 120
MAIN = "import sys\nprint(sys.argv[1:], sys.prefix)\nsys.exit(3)\n"


class Checkout:
    """A checkout with the real launcher and a command that only says what it was given."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir(parents=True)
        shutil.copy(CHECKOUT / "bin" / "dynoform", root / "bin")
        (root / "dynoform" / "cli").mkdir(parents=True)
        (root / "dynoform" / "__init__.py").touch()
        (root / "dynoform" / "cli" / "__init__.py").touch()
        (root / "dynoform" / "cli" / "__main__.py").write_text(MAIN, encoding="utf-8")
        (root / "requirements").mkdir()
        for kind in ("operator", "test"):
            self.lock(kind, f"# nothing for {kind}\n")

    def lock(self, kind: str, text: str) -> None:
        (self.root / "requirements" / f"{kind}.lock").write_text(text, encoding="utf-8")

    @property
    def stamp(self) -> Path:
        return self.root / ".venv" / "stamp"

    def start(self, *words: str, **environ: str) -> "subprocess.Popen[str]":
        env = {"HOME": str(self.root), "PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", **environ}
        pipe = subprocess.PIPE
        return subprocess.Popen([self.root / "bin" / "dynoform", *words], env=env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(*words, **environ)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A checkout whose virtualenv is ready; tests put back what they change."""
    checkout = Checkout(tmp_path_factory.mktemp("made") / "check out")
    code, out, err = checkout.run("up", "--stack", "a b")
    assert (code, out) == (3, f"['up', '--stack', 'a b'] {checkout.root / '.venv'}\n")
    assert "dynoform: making the virtualenv" in err
    return checkout


def test_ready_virtualenv_is_used_as_it_is(made: Checkout) -> None:
    before = made.stamp.stat().st_mtime_ns
    assert made.run("status") == (3, f"['status'] {made.root / '.venv'}\n", "")
    assert made.stamp.stat().st_mtime_ns == before


def test_half_done_virtualenv_is_made_from_nothing(made: Checkout) -> None:
    made.stamp.unlink()
    left = made.root / ".venv" / "left-over"
    left.touch()
    assert "dynoform: making the virtualenv" in made.run("up")[2]
    assert not left.exists()
    assert made.stamp.exists()


def test_outdated_virtualenv_is_brought_up_to_date(made: Checkout) -> None:
    before = made.stamp.read_text(encoding="utf-8")
    made.lock("operator", "# something else\n")
    err = made.run("up")[2]
    assert "dynoform: installing requirements/operator.lock" in err
    assert "making the virtualenv" not in err
    assert made.stamp.read_text(encoding="utf-8") != before


def test_two_at_once_make_it_once(made: Checkout) -> None:
    made.lock("operator", "# for two\n")
    both = [made.start("up"), made.start("status")]
    ends = [process.communicate(timeout=SECONDS)[1] for process in both]
    assert [process.returncode for process in both] == [3, 3]
    assert sorted("installing requirements" in end for end in ends) == [False, True]


def test_virtualenv_of_the_tests_serves_the_operator_too(made: Checkout) -> None:
    assert "dynoform: installing requirements/test.lock" in made.run("test")[2]
    assert made.run("up")[2] == ""


def test_lock_that_cannot_be_installed_is_named_and_never_taken_for_done(made: Checkout) -> None:
    made.lock("operator", f"no-such-package==1.0 --hash=sha256:{'0' * 64}\n")
    made.lock("test", "# changed\n")
    for _ in range(2):
        code, out, err = made.run("up")
        assert (code, out) == (1, "")
        assert "dynoform: requirements/operator.lock: pip could not install it — check that the package index" in err
        assert not made.stamp.exists()


def test_package_index_that_does_not_answer_is_given_up(made: Checkout, silent_registry: str) -> None:
    made.lock("operator", f"some-package==1.0 --hash=sha256:{'0' * 64}\n")
    made.lock("test", "# changed again\n")
    impatient = {"PIP_NO_INDEX": "", "PIP_DEFAULT_TIMEOUT": "1", "PIP_RETRIES": "0"}
    code, out, err = made.run("up", PIP_INDEX_URL=f"{silent_registry}/simple", **impatient)
    assert (code, out) == (1, "")
    assert err.endswith(
        "dynoform: requirements/operator.lock: pip could not install it — "
        "check that the package index answers (pip config list)\n"
    )
    assert not made.stamp.exists()


def test_disk_that_is_full_while_pip_installs_is_told_as_such(made: Checkout) -> None:
    made.lock("operator", f"some-package==2.0 --hash=sha256:{'0' * 64}\n")
    made.lock("test", "# changed once more\n")
    code, out, err = made.run("up", PIP_LOG="/dev/full")
    assert (code, out) == (1, "")
    assert err.endswith(
        "requirements/operator.lock: pip could not install it — free disk space, then run the same command again\n"
    )
    assert not made.stamp.exists()


def test_too_little_disk_is_told_before_anything_is_made(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "checkout")
    tools = tmp_path / "tools"
    tools.mkdir()
    listing = "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/x 9999999 9999999 10240 99% /\n"
    (tools / "df").write_text(f"#!/bin/sh\nprintf '{listing}'\n".replace("%", "%%"), encoding="utf-8")
    (tools / "df").chmod(0o755)
    code, _, err = checkout.run("up", PATH=f"{tools}{os.pathsep}{os.environ['PATH']}")
    assert code == 1
    assert err == (
        f"dynoform: {checkout.root}: 10 MiB of disk are free, 800 MiB are needed for the virtualenv "
        "— free disk space, then run the same command again\n"
    )
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("found", ["nothing", "an old one"])
def test_missing_python_is_named(tmp_path: Path, found: str) -> None:
    checkout = Checkout(tmp_path / "checkout")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("readlink", "dirname", "cat", "cksum", "mkdir", "flock", "id"):
        (tools / name).symlink_to(str(shutil.which(name)))
    if found == "an old one":
        (tools / "python3").write_text(
            "#!/bin/sh\n[ $1 != --version ] || echo Python 3.9.2\nexit 1\n", encoding="utf-8"
        )
        (tools / "python3").chmod(0o755)
    code, _, err = checkout.run("up", PATH=str(tools))
    assert code == 1
    assert "dynoform: python3: 3.11 or newer is needed, found" in err
    assert err.endswith("— install one, or name it in DYNOFORM_PYTHON\n")
    assert ("Python 3.9.2" in err) is (found == "an old one")
