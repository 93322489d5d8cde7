"""Each language's example on a real engine: built, served through a router from the lean run image, and built again."""

import shlex
import socket
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import httpx
import pytest
from docker.errors import NotFound

from dynoform.domain.routes import WebDyno
from tests.integration.build_api import client_of, push, serving
from tests.integration.build_platform import STACK, BuildPlatform, example, images, platform, tarball
from tests.integration.engine_parts import EngineParts, parts
from tests.integration.router.under_test import RouterUnderTest, log_plane, running

__all__ = ["images", "parts", "platform"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROUTER_AT = "127.73.0.1"
"""Not where the router's own tests have theirs: they run beside these."""
STYLE = "body{color:#223344;font-family:sans-serif;}\n"
"""What the examples' asset steps make of ``assets/style.css``."""


@dataclass(frozen=True)
class Language:
    """An example, what its buildpack calls it, the version that is told, and how its own tests run.

    Those of a language that is interpreted run in its slug (``test``). Those of the others run in the build, as
    ``config`` vars or ``files`` have them do, and say there that they passed (``passed``).
    """

    example: str
    name: str
    version: str
    test: str | None = None
    passed: str | None = None
    config: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    asked: tuple[str, str] = ("/database", "the database says 42\n")
    """Where it asks its database, and what it answers there."""
    has_assets: bool = False
    """Whether its build has a step for assets."""
    seconds: int = 600


FAST = (
    Language("python", "Python", "Using Python 3.13.", "python -m unittest", asked=("/visits", "visit 1\n")),
    Language("node", "Node.js", "Using Node.js 20.", "node --test", has_assets=True),
    Language(
        "go",
        "Go",
        "Using Go 1.24.",
        passed="ok  \t",
        files={"bin/go-post-compile": "go test -vet=off ./...\n"},
    ),
    Language("php", "PHP", "Using PHP 8.4.", "php test.php"),
    Language("ruby", "Ruby", "Using Ruby 3.3.", "bundle exec ruby test_app.rb", has_assets=True),
)
# A JDK is large, and sbt fetches itself piece by piece.
SLOW = (
    Language(
        "clojure",
        "Clojure (Leiningen)",
        "Using OpenJDK 21.",
        passed="0 failures, 0 errors.",
        config={"LEIN_BUILD_TASK": "do test, uberjar"},
        seconds=900,
    ),
    Language(
        "java",
        "Java",
        "Using OpenJDK 21.",
        passed="Tests run: 1, Failures: 0, Errors: 0, Skipped: 0",
        config={"MAVEN_CUSTOM_OPTS": "-DskipTests=false"},
        seconds=900,
    ),
    Language(
        "scala",
        "Scala",
        "Using sbt 1.10.7",
        passed="Passed: Total 2, Failed 0, Errors 0, Passed 2",
        config={"SBT_PRE_TASKS": "test"},
        seconds=1500,
    ),
)


class Workshop:
    """Builds of examples, all begun when the first is asked for: they share the machine."""

    def __init__(self, platform: BuildPlatform, client: httpx.Client, languages: tuple[Language, ...]) -> None:
        self.platform = platform
        self.client = client
        self.languages = languages

    @cached_property
    def builds(self) -> dict[str, tuple[uuid.UUID, uuid.UUID]]:
        """Example → its app, its build."""
        return {language.example: self.begin(language) for language in self.languages}

    def begin(self, language: Language) -> tuple[uuid.UUID, uuid.UUID]:
        """An app with a language's config vars, and its first build."""
        app = self.client.post("/apps").raise_for_status().json()["id"]
        self.client.patch(f"/apps/{app}/config-vars", json=language.config).raise_for_status()
        return uuid.UUID(app), self.push(language, app)

    def push(self, language: Language, app: object) -> uuid.UUID:
        """Have an example built, through the API; returns the build's id."""
        return uuid.UUID(push(self.client, str(app), example(language.example, **language.files), COMMIT))

    def built(self, language: Language) -> tuple[uuid.UUID, str]:
        """The app, once it is built, and what its build printed."""
        app, build = self.builds[language.example]
        assert self.platform.wait(build, language.seconds).status == "succeeded", self.platform.explain(build)
        return app, self.platform.output(build)


@pytest.fixture(scope="module")
def client(platform: BuildPlatform) -> Iterator[httpx.Client]:
    with serving(platform) as url, client_of(url) as made:
        yield made


@pytest.fixture(scope="module")
def fast(platform: BuildPlatform, client: httpx.Client) -> Workshop:
    return Workshop(platform, client, FAST)


@pytest.fixture(scope="module")
def slow(platform: BuildPlatform, client: httpx.Client) -> Workshop:
    return Workshop(platform, client, SLOW)


@pytest.fixture(scope="module")
def router(parts: EngineParts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterUnderTest]:
    folder = tmp_path_factory.mktemp("router")
    with log_plane(ROUTER_AT) as plane, running(parts, plane, folder, platform=ROUTER_AT) as found:
        yield found


@contextmanager
def dyno(platform: BuildPlatform, app: uuid.UUID, config: dict[str, str], folder: Path) -> Iterator[str]:
    """The web process of an app's current slug, as a dyno runs it, once it answers; its address."""
    file = folder / "config"
    file.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in config.items()))
    slug = platform.slug(app)
    container = platform.run_slug(
        slug.image,
        slug.process_types["web"],
        environment={"PORT": "5000", "DYNO": "web.1"},
        volumes={str(file): {"bind": "/run/secrets/config", "mode": "ro"}},
        cap_drop=["ALL"],
        mem_limit="512m",
    )
    try:
        container.reload()
        address = str(container.attrs["NetworkSettings"]["Networks"][STACK]["IPAddress"])
        try:
            answer(f"http://{address}:5000/")
        except AssertionError:
            raise AssertionError(container.logs().decode()) from None
        yield address
        started = time.monotonic()
        container.stop(timeout=45)
        assert time.monotonic() - started < 40, "it has to end by itself when told to"
    finally:
        container.remove(force=True)


def answer(url: str) -> tuple[int, str]:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - an address of our own network
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.1)


def listens(address: str, port: int) -> bool:
    """Whether somebody takes connections there."""
    with suppress(OSError), socket.create_connection((address, port), 5):
        return True
    return False


def database_url(platform: BuildPlatform) -> str:
    container = platform.engine.containers.get(f"{STACK}_postgres")
    address = container.attrs["NetworkSettings"]["Networks"][STACK]["IPAddress"]
    return f"postgres://dynoform:pass%27word@{address}:5432/dynoform?sslmode=disable"


def check(workshop: Workshop, router: RouterUnderTest, language: Language, folder: Path) -> None:
    platform = workshop.platform
    app, output = workshop.built(language)
    assert f"-----> {language.name} app detected\n" in output
    assert f"-----> {language.version}" in output
    assert (language.passed or "") in output
    config = {"GREETING": "Hej", "DATABASE_URL": database_url(platform)}
    with dyno(platform, app, config, folder) as address:
        router.route(WebDyno(uuid.uuid4(), router.shop, 1, "up", address, 5000))
        greeting = f"Hej from {language.name.partition(' ')[0]}\ndyno web.1\n"
        assert ask(router, "/") == (200, greeting)
        path, answered = language.asked
        assert ask(router, path) == (200, answered)
        if language.has_assets:
            assert ask(router, "/style.css") == (200, STYLE)
    if language.test:
        container = platform.run_slug(platform.slug(app).image, language.test)
        assert container.wait(timeout=60)["StatusCode"] == 0, container.logs().decode()


def ask(router: RouterUnderTest, path: str) -> tuple[int, str]:
    found = router.get("shop.localhost", path)
    return found.status, found.text


@pytest.mark.parametrize("language", FAST, ids=lambda language: language.example)
def test_an_example_is_built_and_serves(
    fast: Workshop, router: RouterUnderTest, language: Language, tmp_path: Path
) -> None:
    check(fast, router, language, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("language", SLOW, ids=lambda language: language.example)
def test_an_example_of_the_jvm_is_built_and_serves(
    slow: Workshop, router: RouterUnderTest, language: Language, tmp_path: Path
) -> None:
    check(slow, router, language, tmp_path)


def test_the_same_source_makes_the_same_image_from_a_warm_cache(fast: Workshop) -> None:
    apps = {language.example: fast.built(language)[0] for language in FAST}
    before = {name: fast.platform.slug(app).image for name, app in apps.items()}
    again = [fast.push(language, apps[language.example]) for language in FAST]
    for build in again:
        assert fast.platform.wait(build).status == "succeeded", fast.platform.explain(build)
    assert {name: fast.platform.slug(app).image for name, app in apps.items()} == before


def test_a_static_site_is_served_as_its_static_json_says(platform: BuildPlatform, tmp_path: Path) -> None:
    app = platform.create_app()
    build = platform.push(app, example("static"))
    assert platform.wait(build).status == "succeeded", platform.explain(build)
    with dyno(platform, app, {}, tmp_path) as host:
        address = f"http://{host}:5000"
        assert answer(f"{address}/") == (200, "Hello from a static site\n")
        assert answer(f"{address}/about") == (200, "About it\n")
        assert answer(f"{address}/nowhere") == (404, "There is nothing here\n")
        assert answer(f"{address}/old/page") == (200, "Hello from a static site\n")  # where it was sent to
        assert answer(f"{address}/static.json")[0] == 404
        with urllib.request.urlopen(f"{address}/about", timeout=60) as response:  # noqa: S310 - as above
            assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_djangos_static_files_are_collected(platform: BuildPlatform) -> None:
    files: dict[str, str | Path] = {
        "requirements.txt": "Django==5.2.8\n",
        "manage.py": "import os, sys\nfrom django.core.management import execute_from_command_line\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\nexecute_from_command_line(sys.argv)\n",
        "settings.py": "SECRET_KEY = 'unused'\nINSTALLED_APPS = ['django.contrib.staticfiles']\n"
        "STATIC_URL, STATIC_ROOT, STATICFILES_DIRS = 'static/', 'collected', ['assets']\n",
        "assets/style.css": STYLE,
        "Procfile": "web: cat collected/style.css\n",
    }
    app = platform.create_app()
    build = platform.push(app, tarball(files))
    assert platform.wait(build, 300).status == "succeeded", platform.explain(build)
    assert "-----> $ python manage.py collectstatic --noinput\n       1 static file copied" in platform.output(build)
    container = platform.run_slug(platform.slug(app).image, platform.slug(app).process_types["web"])
    container.wait(timeout=30)
    assert container.logs().decode() == STYLE


def test_a_buildpack_by_git_url_runs_before_one_of_ours(platform: BuildPlatform, images: dict[str, str]) -> None:
    script = (
        "set -e; cd /tmp; git init -q -b main pack; cd pack; mkdir bin;"
        "printf '#!/bin/bash\\necho Word\\n' >bin/detect;"
        'printf \'#!/bin/bash\\necho "word is $(cat $3/WORD)" >$1/word; mkdir -p $1/.profile.d;'
        " echo export SAID=word >$1/.profile.d/word.sh;"
        " echo export TOOL=sharp >$(dirname $0)/../export\\n' >bin/compile;"
        "git add .; git -c user.name=a -c user.email=a@example.com commit -qm one; git tag v1; git rm -q bin/compile;"
        "git -c user.name=a -c user.email=a@example.com commit -qm broken;"
        "exec git daemon --export-all --base-path=/tmp --reuseaddr"
    )
    server = platform.engine.containers.run(
        images["stack-13-build"], ["bash", "-c", script], detach=True, network=STACK, labels={"dynoform.test.build": ""}
    )
    try:
        server.reload()
        address = server.attrs["NetworkSettings"]["Networks"][STACK]["IPAddress"]
        platform.until(lambda: listens(address, 9418))
        url = f"git://{address}/pack#v1"
        files: dict[str, str | Path] = {
            ".buildpacks": f"{url}\nheroku/nodejs\n",
            "package.json": '{"name": "a", "version": "1.0.0", "scripts": {"build": "echo tool is $TOOL"}}',
            "Procfile": "web: cat word; echo $SAID\n",
        }
        app = platform.create_app({"WORD": "mellon"})
        build = platform.push(app, tarball(files))
        assert platform.wait(build).status == "succeeded", platform.explain(build)
        server.remove(force=True)
        again = platform.push(app, tarball(files))
        assert platform.wait(again).status == "succeeded", platform.explain(again)
    finally:
        with suppress(NotFound):
            server.remove(force=True)
    output = platform.output(build)
    assert f"-----> Using buildpack: {url}\n       Fetched commit " in output
    assert "       tool is sharp\n" in output
    assert "using the copy from the last build\n" in platform.output(again)
    container = platform.run_slug(platform.slug(app).image, platform.slug(app).process_types["web"])
    container.wait(timeout=30)
    assert container.logs().decode() == "word is mellon\nword\n"
