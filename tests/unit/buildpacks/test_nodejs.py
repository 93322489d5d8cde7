import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.unit.buildpacks.conftest import Workshop

pytest.importorskip("yaml")
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or shutil.which("npm") is None, reason="no node and npm on PATH"
)


def manifest(**more: Any) -> str:
    return json.dumps({"name": "app", "version": "1.0.0", **more})


def version() -> str:
    return subprocess.run(["node", "-p", "process.versions.node"], stdout=subprocess.PIPE, text=True).stdout.strip()


def test_the_build_script_runs_with_the_config_vars(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(scripts={"build": "echo building with $ASSET_HOST", "start": "true"}))
    workshop.config(ASSET_HOST="cdn", PATH="/nowhere", NODE_OPTIONS="--bad")
    answer = workshop.build()
    assert answer.code == 0, answer.output
    assert "-----> Running build\n" in answer.output and "       building with cdn\n" in answer.output
    assert answer.result == {"buildpacks": ["nodejs"], "process_types": {"web": "npm start"}, "procfile": ""}


def test_heroku_postbuild_takes_the_place_of_build(workshop: Workshop) -> None:
    scripts = {"build": "echo one", "heroku-postbuild": "echo two", "heroku-prebuild": "echo zero"}
    workshop.write(package__json=manifest(scripts=scripts))
    output = workshop.build().output
    assert "       zero\n" in output and "       two\n" in output and "       one\n" not in output


def test_a_failing_script_is_named(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(scripts={"build": "exit 3"}))
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Node.js app"}
    assert "package.json: the script 'build' failed, see above: mend it and push again" in answer.output


def test_engines_are_respected(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(engines={"node": ">=4.0.0"}))
    assert f"-----> Using Node.js {version()}, as engines.node asks for >=4.0.0\n" in workshop.build().output
    workshop.write(package__json=manifest(engines={"node": "4.x"}))
    answer = workshop.build()
    assert answer.result == {"failure": "failed to compile Node.js app"}
    assert f"Node.js 4.x cannot be had on dynoform-13, which has {version()}" in answer.output


def test_a_package_that_is_not_json_is_refused_in_one_line(workshop: Workshop) -> None:
    workshop.write(package__json="{")
    answer = workshop.build()
    (line,) = [line for line in answer.output.splitlines() if line.startswith(" !")]
    assert line.startswith(" !     package.json or package-lock.json: cannot be read (SyntaxError")


def test_another_package_manager_is_refused_by_name(workshop: Workshop) -> None:
    workshop.write(package__json=manifest(), yarn__lock="")
    assert "yarn.lock: only npm can be had on dynoform-13: add a package-lock.json" in workshop.build().output


@pytest.mark.parametrize(("files", "types"), [({}, {}), ({"server__js": ""}, {"web": "npm start"})])
def test_what_cannot_be_started_gets_no_default_process_type(
    workshop: Workshop, files: dict[str, str], types: dict[str, str]
) -> None:
    workshop.write(package__json=manifest(), **files)
    assert workshop.build().result["process_types"] == types
