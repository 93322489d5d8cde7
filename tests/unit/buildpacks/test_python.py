import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.buildpacks.conftest import Answer, Workshop, new_workshop

pytest.importorskip("yaml")
HERE = platform.python_version()
MINOR = HERE.rpartition(".")[0]


def python_on_path() -> str:
    script = ["python3", "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(script, stdout=subprocess.PIPE, text=True).stdout.strip()


pytestmark = pytest.mark.skipif(python_on_path() != HERE, reason="python3 on PATH is another Python than the tests'")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workshop, Answer]]:
    """An app that was built once: an environment takes some seconds to make, so the tests share it."""
    workshop = new_workshop(tmp_path_factory.mktemp("python"))
    workshop.write(requirements__txt="-r more.txt\n", more__txt="# nothing\n")
    (workshop.app / ".python-version").write_text(f"# the stack's\n{MINOR}\n")
    yield workshop, workshop.build()


def test_the_version_asked_for_is_used(built: tuple[Workshop, Answer]) -> None:
    assert f"-----> Using Python {HERE}, as .python-version asks for {MINOR}\n" in built[1].output


def test_requirements_are_installed(built: tuple[Workshop, Answer]) -> None:
    assert built[1].code == 0
    assert "-----> Installing requirements with pip\n" in built[1].output


def test_there_is_no_default_process_type(built: tuple[Workshop, Answer]) -> None:
    assert built[1].result == {"buildpacks": ["python"], "process_types": {}, "procfile": ""}


def test_a_dyno_finds_the_environment_first(built: tuple[Workshop, Answer]) -> None:
    app = built[0].app
    script = f"cd {app}; HOME=$PWD; . .profile.d/python.sh; command -v python; echo $PYTHONUNBUFFERED"
    shell = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, text=True)
    assert shell.stdout == f"{app}/.heroku/python/bin/python\n1\n"


def test_an_unchanged_app_gets_the_same_environment_from_the_cache(built: tuple[Workshop, Answer]) -> None:
    workshop = built[0]
    environment = workshop.app / ".heroku/python"
    files = contents(environment)
    shutil.rmtree(environment)
    warm = workshop.build()
    assert "-----> Restoring requirements from the cache, as they have not changed\n" in warm.output
    assert "Installing" not in warm.output
    assert contents(environment) == files


def test_a_requirement_that_is_a_folder_is_never_taken_from_the_cache(built: tuple[Workshop, Answer]) -> None:
    workshop = built[0]
    workshop.write(more__txt="./missing\n")
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Python app"}
    assert "-----> Installing requirements with pip\n" in answer.output
    assert " !     requirements.txt: pip could not install it, see above: mend it and push again" in answer.output


@pytest.mark.parametrize(("file", "text"), [(".python-version", "2.7\n"), ("runtime.txt", "python-2.7.18\n")])
def test_a_version_that_cannot_be_had_is_refused_with_the_one_that_can(
    workshop: Workshop, file: str, text: str
) -> None:
    workshop.write(requirements__txt="")
    (workshop.app / file).write_text(text)
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Python app"}
    assert f" !     {file}: Python 2.7" in answer.output
    assert f"cannot be had on dynoform-13, which has {HERE}: ask for {MINOR}\n" in answer.output


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
