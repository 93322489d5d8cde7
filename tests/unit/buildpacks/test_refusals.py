"""What cannot be built is refused in one line that says what there is, before anything is fetched."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.buildpacks.conftest import ROOT, Workshop

pytest.importorskip("yaml")


def refusal(workshop: Workshop, buildpack: str, answers: dict[str, str] | None = None) -> str:
    """The line in which a buildpack gives up. ``answers`` are those of registries, as a former build kept them."""
    for name, text in (answers or {}).items():
        path = workshop.folder / "cache" / buildpack / "answers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (workshop.folder / "wanted").write_text(buildpack)
    answer = workshop.build()
    assert answer.code == 1, answer.output
    (line,) = [line for line in answer.output.splitlines() if line.startswith(" !")]
    return line.removeprefix(" !     ")


@pytest.mark.parametrize("wanted", ["8", "1.8", "openjdk-11.0.2", "99"])
def test_java_names_the_versions_that_there_are(workshop: Workshop, wanted: str) -> None:
    workshop.write(pom__xml="<project/>", system__properties=f"java.runtime.version={wanted}\n")
    assert refusal(workshop, "java") == (
        f"system.properties: Java {wanted} cannot be had on dynoform-13: ask for one of 17 21 25"
    )


def test_gradle_needs_its_wrapper(workshop: Workshop) -> None:
    workshop.write(build__gradle="")
    assert refusal(workshop, "java").startswith("gradlew is missing: run gradle wrapper and add gradlew and")


@pytest.mark.parametrize(
    ("properties", "line"),
    [
        (None, "project/build.properties: has no sbt.version: add one, like sbt.version=1.10.7"),
        ("sbt.version = 0.13.18\n", "project/build.properties: sbt 0.13.18 cannot be had: ask for 1.0 or newer"),
    ],
)
def test_scala_needs_a_version_of_sbt(workshop: Workshop, properties: str | None, line: str) -> None:
    workshop.write(build__sbt="")
    if properties:
        (workshop.app / "project").mkdir()
        (workshop.app / "project/build.properties").write_text(properties)
    assert refusal(workshop, "scala") == line


def test_clojures_tools_need_an_alias_that_builds(workshop: Workshop) -> None:
    workshop.write(deps__edn="{}")
    assert refusal(workshop, "clojure") == (
        "deps.edn: has no alias :build: add one with tools.build, and build.clj with a function uber"
    )


@pytest.mark.parametrize(
    ("files", "origin", "wanted"),
    [
        ({"Gemfile": 'ruby "2.7.1"\n'}, "Gemfile", "2.7.1"),
        ({"Gemfile": "ruby '~> 3.2.0', engine: 'ruby'\n"}, "Gemfile", "~> 3.2.0"),
        ({"Gemfile": 'ruby file: ".ruby-version"\n', ".ruby-version": "ruby-3.4.1\n"}, ".ruby-version", "3.4.1"),
        ({"Gemfile": "# none\n", ".ruby-version": "4.0\n"}, ".ruby-version", "4.0"),
    ],
)
def test_ruby_names_the_versions_that_there_are(
    workshop: Workshop, files: dict[str, str], origin: str, wanted: str
) -> None:
    for name, text in files.items():
        (workshop.app / name).write_text(text)
    assert refusal(workshop, "ruby", {"rubies": "3.3.14 trixie\n3.1.2 bookworm\n"}) == (
        f"{origin}: Ruby {wanted} cannot be had on dynoform-13: ask for 3.3.14 or 3.1.2"
    )


def test_php_names_the_version_that_there_is(workshop: Workshop) -> None:
    workshop.write(composer__json=json.dumps({"require": {"php": "~7.4.0"}}))
    assert refusal(workshop, "php", {"php-8.4": "8.4.28\n"}) == (
        "composer.json: PHP ~7.4.0 cannot be had on dynoform-13, which has 8.4.28: require ^8.4, or a range with it"
    )


def test_php_tells_a_broken_file(workshop: Workshop) -> None:
    workshop.write(composer__json="{")
    assert refusal(workshop, "php").startswith("composer.json or composer.lock: cannot be read (json.decoder.JSON")


@pytest.mark.parametrize(
    ("module", "config", "chosen"),
    [
        ("go 1.22\n", "", "1.22.10 "),
        ("go 1.24.5\n", "", "1.24.11 "),
        ("go 1.23.9\n", "", "1.24.3 "),  # nothing that new in its own line: the next one
        ("go 1.22\ntoolchain go1.24.3\n", "", "1.24.11 "),
        ("// +heroku goVersion go1.22\ngo 1.24\n", "", "1.22.10 "),
        ("// +heroku goVersion go1.22.4\ngo 1.24\n", "", " 1.22.4"),  # Go itself fetches that one
        ("go 1.22\n", "go1.24.3", "1.24.3 "),
        ("", "", "1.24.11 "),
    ],
)
def test_go_is_chosen_as_go_mod_asks(tmp_path: Path, module: str, config: str, chosen: str) -> None:
    (tmp_path / "go.mod").write_text(module)
    script = """
      . "$1/buildpacks/lib/common.sh"; . "$1/buildpacks/go/lib/toolchain.sh"; buildpack=$1/buildpacks/go
      read -r origin wanted < <(wanted_version) || true
      choose_version "$origin" "$wanted" "1.24.11 1.24.3 1.23.2 1.22.10"
      echo "$version $([[ -n $version ]] || echo "$wanted")"
    """
    command = ["bash", "-c", script, "bash", str(ROOT)]
    environment = {"GOVERSION": config, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == f"{chosen}\n"


@pytest.mark.parametrize(
    ("url", "variables"),
    [
        (
            "postgres://me:pa%40ss@db.example.com:5432/shop",
            ("jdbc:postgresql://db.example.com:5432/shop?user=me&password=pa%40ss", "me", "pa%40ss"),
        ),
        ("postgres://db/shop?sslmode=require", ("jdbc:postgresql://db/shop?sslmode=require", "", "")),
        (
            "mysql2://me@db/shop?a=b",
            ("jdbc:mysql://db/shop?a=b&user=me", "me", ""),
        ),
    ],
)
def test_the_jvm_gets_its_database_as_jdbc_wants_it(url: str, variables: tuple[str, str, str]) -> None:
    names = ("JDBC_DATABASE_URL", "JDBC_DATABASE_USERNAME", "JDBC_DATABASE_PASSWORD", "SPRING_DATASOURCE_URL")
    script = (
        f". {ROOT}/buildpacks/lib/jdk_profile.sh; for name in {' '.join(names)} BLUE_JDBC_URL; do echo ${{!name}}; done"
    )
    environment = {
        "DATABASE_URL": url,
        "BLUE_URL": url,
        "API_URL": "https://x",
        "HOME": "/app",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(["bash", "-euc", script], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert tuple(done.stdout.splitlines()) == (*variables, variables[0], variables[0])


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ("{", "static.json: cannot be read (Expecting property name"),
        ('{"root": "../.."}', "static.json: root: '../..' is not a folder of the app"),
        ('{"error_page": "a;b"}', "static.json: error_page: '/a;b' must be text without"),
        ('{"redirects": {"/": {"url": "$evil"}}}', "static.json: redirects: '$evil' must be text without"),
        ('{"headers": {"/}": {"A": "b"}}}', "static.json: headers: '/}' must be text without"),
    ],
)
def test_a_static_json_cannot_say_more_than_it_may(tmp_path: Path, site: str, message: str) -> None:
    (tmp_path / "static.json").write_text(site)
    bin_ = tmp_path / ".heroku/static/bin"
    bin_.mkdir(parents=True)
    shutil.copy(ROOT / "buildpacks/static/lib/serve-static", bin_)
    done = subprocess.run([bin_ / "serve-static"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith(f"serve-static: {message}")
