"""Broken and hostile sources, pushed through the API all at once: each fails in a named way, nobody else notices."""

import json
import os
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from docker.models.containers import Container

from dynoform.build.container import Engine
from dynoform.build.room import Room
from tests.integration.build_api import client_of, ended, output, push, serving
from tests.integration.build_platform import (
    GATEWAY,
    STACK,
    BuildPlatform,
    deploy,
    example,
    images,
    running,
    tarball,
)
from tests.integration.test_build import fetch

__all__ = ["images"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
SERVER = "python3 -m http.server $PORT"
NAMES = ("no-buildpack", "bad-procfile", "missing-dependency", "failing-build")
SECONDS = 10
"""How long the build that is too slow may take."""
SLUG_BYTES = 30 * 1024 * 1024
MIB = 1024 * 1024


def hostile(command: str, **files: Path) -> bytes:
    """An app whose own script runs before anything else of its build."""
    named = {f"bin/{name}.py": path for name, path in files.items()}
    return tarball({"requirements.txt": "", "Procfile": "web: true\n", "bin/pre_compile": f"{command}\n", **named})


KNOCKS = hostile(
    f"exec python3 bin/hostile_build.py {GATEWAY}:5000",
    hostile_build=HERE / "hostile_build.py",
    hostile=HERE / "hostile.py",
)
LIES = hostile("ln -sf /etc/passwd /run/dynoform/result.json; kill -9 -1")
EATS = hostile("exec python3 -c 'eaten = [bytearray(b\"x\" * 2**20) for _ in range(4096)]'")


@dataclass(frozen=True)
class Pushed:
    """A source that was pushed to an app which serves."""

    app: str
    app_id: uuid.UUID
    build: str
    dyno: Container


class Site:
    """All that is built at once, by name."""

    def __init__(self, platform: BuildPlatform, client: httpx.Client) -> None:
        self.platform, self.client = platform, client
        self.pushed: dict[str, Pushed] = {}

    def push(self, name: str, source: bytes, **config: str) -> None:
        """Have it built for an app of its own, whose release before it serves."""
        made = self.client.post("/apps", json={}).raise_for_status().json()
        app_id = uuid.UUID(made["id"])
        if config:
            self.client.patch(f"/apps/{made['name']}/config-vars", json=config).raise_for_status()
        deploy(self.platform, app_id, {"web": SERVER})
        slug = self.platform.slug(app_id)
        dyno = self.platform.run_slug(slug.image, SERVER, environment={"PORT": "5000", "DYNO": "web.1"})
        self.pushed[name] = Pushed(made["name"], app_id, push(self.client, made["name"], source), dyno)

    def ended(self, name: str) -> tuple[str, str | None, str]:
        """Status, failure and output of a build, once it has ended."""
        pushed = self.pushed[name]
        return ended(self.platform, self.client, pushed.app, pushed.build)

    def serves(self, name: str) -> bool:
        """Whether the release before the push is the current one, and its dyno answers."""
        pushed = self.pushed[name]
        releases = self.client.get(f"/apps/{pushed.app}/releases").raise_for_status().json()
        current = [release["description"] for release in releases if release["current"]]
        pushed.dyno.reload()
        address = pushed.dyno.attrs["NetworkSettings"]["Networks"][STACK]["IPAddress"]
        return current == ["Deploy"] and "Directory listing" in fetch(f"http://{address}:5000/")


@pytest.fixture(scope="module")
def site(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("platform")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    with running(images, folder) as platform, serving(platform) as url, client_of(url) as client:
        found = Site(platform, client)
        found.push("knocks", KNOCKS, API_KEY="not-for-others")
        for name in (*NAMES, "failing-release", "fork-bomb"):
            found.push(name, example(f"broken/{name}"))
        found.push("too-big", example("broken/too-big"), FILM_BYTES=f"{40 * MIB}")
        found.push("lies", LIES)
        found.push("eats", EATS)
        found.push("neighbour", hostile("ls -A /cache; cat /cache/mark"))
        platform.start_builder(slug_bytes=SLUG_BYTES)
        yield found


@pytest.mark.parametrize(
    ("name", "failure", "said"),
    [
        (
            "no-buildpack",
            "no buildpack detects the app",
            " !     Push rejected, no buildpack detects the app.\n",
        ),
        ("bad-procfile", "Procfile line 2: 'worker python work.py' is not 'type: command'", " !     Push failed\n"),
        ("failing-build", "failed to compile Node.js app", "assets/app.css is missing"),
        ("missing-dependency", "failed to compile Python app", "File './packages/greeting' does not exist"),
        ("fork-bomb", "the build needed more than 512 processes", "Cannot fork"),
        ("too-big", "slug: is larger than 31.5M — list what need not run in .slugignore", "cutting the film"),
        ("eats", "the build needed more than 2147.5M of memory", " !     Push rejected, the build needed more"),
        ("lies", "the build ended without a result", " !     Push rejected, the build ended without a result."),
    ],
)
def test_a_broken_app_fails_in_a_named_way_and_goes_on_serving(site: Site, name: str, failure: str, said: str) -> None:
    status, why, words = site.ended(name)
    assert status == "failed", words
    assert str(why).startswith(failure) and "\n" not in str(why), words
    assert said in words
    assert words.count(" !     Push ") == 1, words
    assert site.serves(name)


def test_a_failing_release_command_leaves_what_serves(site: Site) -> None:
    status, _, words = site.ended("failing-release")
    assert status == "succeeded", words
    assert "Release command declared" in words
    pushed = site.pushed["failing-release"]
    release = site.client.get(f"/apps/{pushed.app}/releases").json()[-1]
    stream = httpx.URL(release["output_stream_url"])
    said = site.client.get(f"{stream.path}?{stream.query.decode()}", timeout=60).text
    assert said == "migrating: there is no table named orders\n"
    assert site.client.get(f"/apps/{pushed.app}/releases/{release['id']}").json()["status"] == "failed"
    assert site.serves("failing-release")


def test_a_hostile_build_gets_nowhere(site: Site) -> None:
    status, _, words = site.ended("knocks")
    assert status == "succeeded", words
    (line,) = (line for line in words.splitlines() if "found {" in line)
    report = json.loads(line[line.index("{") :])
    assert "mark" not in report.pop("cache")
    assert int(report.pop("capabilities"), 16) == 0
    answer = report.pop("registry")
    assert answer == "closed" or answer.split(" ")[1] in {"400", "401", "403"}, answer
    assert report == {
        "written": [],
        "gains": [],
        "setuid_program": "1000",
        "user": 1000,
        "no_new_privileges": "1",
        "large_file": False,
        "told": [],
        "secrets": False,
        "disks": [],
    }
    assert "not-for-others" not in words


def test_what_no_slug_may_have_stays_out_of_it(site: Site) -> None:
    site.ended("knocks")
    image = site.platform.slug(site.pushed["knocks"].app_id).image
    look = "stat -c '%a %U' tool; ls -d pipe door disk 2>/dev/null; cat \"$(printf 'two\\nlines')\"; readlink passwd"
    container = site.platform.run_slug(image, look)
    container.wait(timeout=30)
    assert container.logs().decode() == "755 dyno\nkept/etc/passwd\n"


def test_a_neighbour_is_built_and_sees_nothing_of_it(site: Site) -> None:
    status, _, words = site.ended("neighbour")
    assert status == "failed"
    assert "cat: /cache/mark: No such file or directory" in words
    assert "not-for-others" not in words
    # Its own cache is what the hostile one left there.
    pushed = site.pushed["knocks"]
    site.ended("knocks")
    again = push(site.client, pushed.app, hostile("cat /cache/mark"))
    assert "       mine\n" in output(site.client, pushed.app, again)


def test_a_build_that_is_too_slow_is_ended(site: Site) -> None:
    site.platform.stop_builder()
    site.push("too-slow", example("broken/too-slow"))
    site.platform.start_builder(build_seconds=SECONDS)
    status, why, words = site.ended("too-slow")
    assert (status, why) == ("failed", f"the build took longer than {SECONDS} seconds"), words
    assert words.endswith(f" !     Push rejected, the build took longer than {SECONDS} seconds.\n"), words
    assert site.serves("too-slow")


def test_nothing_of_them_is_left_on_the_engine(site: Site) -> None:
    for name in site.pushed:
        site.ended(name)
    engine = Engine(site.platform.configuration)
    site.platform.until(lambda: not engine.containers())
    caches = {app_id for _, app_id in engine.cache_volumes()}
    assert caches <= {str(pushed.app_id) for pushed in site.pushed.values()}
    assert site.platform.builder
    assert "left-over build container stays" not in site.platform.builder.logs().decode()


def test_a_build_that_makes_all_the_files_that_a_disk_can_have_is_ended(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m,nr_inodes=60k", "tmpfs", tmp_path], check=True)
    full = threading.Event()
    try:
        with Room(full.set, tmp_path, seconds=0.1) as room:
            assert not full.wait(0.5)
            for number in range(60_000):
                try:
                    (tmp_path / str(number)).touch()
                except OSError:
                    break
            assert full.wait(60) and room.filled
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_build_that_fills_a_disk_is_ended(tmp_path: Path) -> None:
    """A disk in memory, for a build on it: nobody fills the host's for a test."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2200m", "tmpfs", tmp_path], check=True)
    full = threading.Event()
    try:
        with Room(full.set, tmp_path, seconds=0.1) as room, (tmp_path / "film").open("wb") as film:
            os.posix_fallocate(film.fileno(), 0, 900 * MIB)
            assert not full.wait(0.5)
            os.posix_fallocate(film.fileno(), 0, 1300 * MIB)
            assert full.wait(60) and room.filled
    finally:
        subprocess.run(["umount", tmp_path], check=True)
