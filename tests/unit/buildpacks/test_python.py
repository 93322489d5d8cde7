import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.buildpacks.conftest import ROOT, Answer, Workshop, new_workshop

pytest.importorskip("yaml")
HERE = platform.python_version()
MINOR = HERE.rpartition(".")[0]


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
    assert "-----> Installing dependencies with pip\n" in built[1].output


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
    assert "-----> Restoring dependencies from the cache, as requirements.txt has not changed\n" in warm.output
    assert "Installing" not in warm.output
    assert contents(environment) == files


def test_a_requirement_that_is_a_folder_is_never_taken_from_the_cache(built: tuple[Workshop, Answer]) -> None:
    workshop = built[0]
    workshop.write(more__txt="./missing\n")
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Python app"}
    assert "-----> Installing dependencies with pip\n" in answer.output
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
    assert f"cannot be had on dynoform-13, which has {HERE}: ask for {MINOR} or 3.11\n" in answer.output


def test_a_version_is_taken_from_pipenvs_lock(workshop: Workshop) -> None:
    workshop.write(Pipfile="")
    (workshop.app / "Pipfile.lock").write_text(json.dumps({"_meta": {"requires": {"python_version": "2.7"}}}))
    assert " !     Pipfile.lock: Python 2.7 cannot be had on dynoform-13" in workshop.build().output


def test_the_manager_whose_file_comes_first_counts(workshop: Workshop) -> None:
    workshop.write(requirements__txt="", poetry__lock="", uv__lock="", runtime__txt="python-2.7\n")
    line = (
        "       Files of several package managers are here (pip poetry uv). Using pip: remove those that do not count\n"
    )
    assert line in workshop.build().output


@pytest.mark.parametrize(
    ("manager", "files", "same"),
    [
        ("pipenv", {"Pipfile.lock": '{"default": {"a": {"version": "==1"}}}'}, True),
        ("pipenv", {"Pipfile.lock": '{"default": {"a": {"path": ".", "editable": true}}}'}, False),
        ("pipenv", {"Pipfile.lock": '{"default": {"a": {"git": "https://x"}}}'}, False),
        ("pipenv", {}, False),
        ("poetry", {"poetry.lock": '[[package]]\nname = "a"\n', "pyproject.toml": ""}, True),
        ("poetry", {"poetry.lock": '[[package]]\nname = "a"\n[package.source]\ntype = "git"\n'}, False),
        ("poetry", {"poetry.lock": "", "pyproject.toml": '[tool.poetry]\nbuild = "build.py"\n'}, False),
        ("uv", {"uv.lock": '[[package]]\nname = "a"\nsource = { registry = "https://x" }\n'}, True),
        ("uv", {"uv.lock": '[[package]]\nname = "a"\nsource = { editable = "." }\n'}, True),
        ("uv", {"uv.lock": '[[package]]\nname = "a"\nsource = { editable = "lib" }\n'}, False),
        ("uv", {"uv.lock": '[[package]]\nname = "a"\nsource = { git = "https://x" }\n'}, False),
        ("uv", {"uv.lock": "not toml ="}, False),
    ],
)
def test_only_what_follows_from_the_lock_is_taken_from_the_cache(
    tmp_path: Path, manager: str, files: dict[str, str], same: bool
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    facts = [sys.executable, ROOT / "buildpacks/python/lib/facts.py", "reproducible", manager]
    assert (subprocess.run(facts, cwd=tmp_path, stderr=subprocess.DEVNULL).returncode == 0) == same


def django(built: tuple[Workshop, Answer], manage: str, **config: str) -> Answer:
    """Build the app again, with a Django of the test's own and a manage.py."""
    workshop = built[0]
    workshop.write(more__txt="# nothing\n", manage__py=manage)
    workshop.config(**{"DISABLE_COLLECTSTATIC": "0", **config})
    package = next((workshop.folder / "cache/python/environment/content/lib").glob("python3*")) / "site-packages/django"
    package.mkdir(exist_ok=True)
    shutil.rmtree(workshop.app / ".heroku")
    try:
        return workshop.build()
    finally:
        (workshop.app / "manage.py").unlink()
        package.rmdir()


MANAGE = "import sys\nprint('collectstatic' if sys.argv[1] == 'help' else f'3 static files: {sys.argv[2:]}')\n"


def test_djangos_static_files_are_collected(built: tuple[Workshop, Answer]) -> None:
    answer = django(built, MANAGE)
    assert answer.code == 0, answer.output
    assert "-----> $ python manage.py collectstatic --noinput\n       3 static files: ['--noinput'" in answer.output
    answer = django(built, MANAGE, DISABLE_COLLECTSTATIC="1")
    assert "-----> Skipping Django's collectstatic, as DISABLE_COLLECTSTATIC is set\n" in answer.output
    assert "static files" not in answer.output


def test_a_django_app_without_static_files_is_left_alone(built: tuple[Workshop, Answer]) -> None:
    assert "collectstatic" not in django(built, "print('migrate')\n").output


@pytest.mark.parametrize(
    ("manage", "message"),
    [
        ("raise ImportError('settings')\n", "manage.py: Django cannot load the app's settings, see above"),
        (
            "import sys\nprint('collectstatic') if sys.argv[1] == 'help' else sys.exit(1)\n",
            "manage.py: collectstatic failed, see above: mend it, or set DISABLE_COLLECTSTATIC=1",
        ),
    ],
)
def test_a_collectstatic_that_fails_ends_the_build(built: tuple[Workshop, Answer], manage: str, message: str) -> None:
    answer = django(built, manage)
    assert answer.result == {"failure": "failed to compile Python app"}
    assert f" !     {message}" in answer.output


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
