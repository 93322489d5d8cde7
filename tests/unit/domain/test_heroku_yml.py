"""heroku.yml: which images and commands it means, and what is wrong with one, by its path and with the reason."""

import pytest

from dynoform.domain import heroku_yml
from dynoform.domain.heroku_yml import Command, Image, Setup
from dynoform.errors import InvalidInputError

WHOLE = """
setup:
  addons:
    - plan: heroku-postgresql
      as: DATABASE
  config:
    S3_BUCKET: my-bucket
build:
  docker:
    web: Dockerfile
    worker:
      dockerfile: worker/Dockerfile
      target: lean
    tools:
      dockerfile: worker/Dockerfile
      context: .
  config:
    RAILS_ENV: development
    DEPTH: 3
    FAST: true
release:
  image: worker
  command:
    - ./migrate.sh
    - ./seed.sh
run:
  web: bundle exec puma
  clock:
    command:
      - python clock.py
    image: worker
  console: irb
"""


def test_images_and_commands_are_read() -> None:
    found = heroku_yml.parse(WHOLE)
    assert found.images == {
        "web": Image("Dockerfile", ""),
        "worker": Image("worker/Dockerfile", "worker", "lean"),
        "tools": Image("worker/Dockerfile", ""),
    }
    assert found.commands == {
        "web": Command("web", "bundle exec puma"),
        "worker": Command("worker", optional=True),
        "tools": Command("tools", optional=True),
        "clock": Command("worker", "python clock.py"),
        "console": Command("web", "irb"),
        "release": Command("worker", "./migrate.sh && ./seed.sh"),
    }
    assert found.arguments == {"RAILS_ENV": "development", "DEPTH": "3", "FAST": "true"}
    assert found.setup == Setup([("heroku-postgresql", "DATABASE")], {"S3_BUCKET": "my-bucket"})


def test_without_run_each_image_runs_its_own_command() -> None:
    found = heroku_yml.parse("build: {docker: {web: Dockerfile, release: release/Dockerfile}}")
    assert found.commands == {"web": Command("web"), "release": Command("release")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "heroku.yml: is missing — add one that says which Dockerfile to build, or set another stack"),
        ("a: [", "line 1: is not YAML"),
        ("a: &x {b: c}\nd: *x", "is not YAML (an alias, which is not read here)"),
        ("!!python/object:os.system {}", "is not YAML"),
        ("[" * 5000, "is not YAML"),
        ("just text", "must be a mapping with build"),
        ("x" * 70_000, "is longer than 64 KiB"),
        ("run: {web: a}", "build: is missing"),
        ("build: {}", "build.docker: is missing"),
        ("build: {docker: {}}", "build.docker: must have 1 to 20 images"),
        ("build: {docker: {web: ../Dockerfile}}", "build.docker.web: must be within the app's folder"),
        ("build: {docker: {web: 5}}", "build.docker.web: must be an object"),
        (
            "build: {docker: {Web: a}}",
            "build.docker.Web: a process type with an image has a name of lower case",
        ),
        ("build: {docker: {web: {target: a}}}", "build.docker.web.dockerfile: is missing"),
        ("build: {docker: {web: {dockerfile: a, context: /etc}}}", "build.docker.web.context: must be within"),
        ("build: {docker: {web: a}, pack: b}", "build.pack: is not known: use config, docker"),
        ("build: {docker: {web: a}, config: {A: [b]}}", "build.config.A: must be text"),
        ("build: {docker: {web: a}}\nrun: {web: ''}", "run.web: must be a command, or a list of them"),
        ("build: {docker: {web: a}}\nrun: {web: {command: b, image: c}}", "run.web.image: 'c' is not built: use web"),
        ("build: {docker: {worker: a}}\nrun: {web: b}", "run.web: 'web' is not built: use worker"),
        ("build: {docker: {a: b}}\nrelease: {command: c}", "release.image: 'web' is not built: use a"),
        ("build: {docker: {web: a}}\nrun: {80: b}", None),
        ("build: {docker: {web: a}}\nsetup: {addons: [{as: b}]}", "setup.addons[0].plan: is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(text: str | None, message: str | None) -> None:
    if message is None:
        heroku_yml.parse(text)
        return
    with pytest.raises(InvalidInputError) as caught:
        heroku_yml.parse(text)
    assert str(caught.value).startswith("heroku.yml: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("command", "entrypoint", "default", "line"),
    [
        (None, [], ["serve", "a b"], "serve 'a b'"),
        (None, ["/init"], ["serve"], "/init serve"),
        ("serve -p $PORT", [], ["x"], "/bin/sh -c 'serve -p $PORT'"),
        ("serve", ["/init"], ["x"], "/init /bin/sh -c serve"),
        (None, [], [], ""),
    ],
)
def test_a_command_takes_the_place_of_the_images_own(
    command: str | None, entrypoint: list[str], default: list[str], line: str
) -> None:
    assert heroku_yml.command_line(command, entrypoint, default) == line
