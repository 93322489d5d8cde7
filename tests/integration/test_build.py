"""Builds on a real engine: from a source to an image that the engine pulls by digest, and all that can go wrong."""

import re
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dynoform.build.container import ASK_LABEL, Engine
from dynoform.build.registry import Registry
from dynoform.configuration import API_PORT
from dynoform.domain.images import parts
from dynoform.domain.jobs import ATTEMPTS, Kind
from dynoform.store import jobs, stack_images
from dynoform.store.releases import create_release, lock_app
from dynoform.store.tables import App, Build, Job, Slug, StackImage
from tests.integration.build_api import serving
from tests.integration.build_platform import (
    GATEWAY,
    STACK,
    BuildPlatform,
    example,
    images,
    platform,
    remove_left_overs,
    tarball,
)

__all__ = ["images", "platform"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

SLOW = tarball(
    {
        "package.json": '{"name": "slow", "version": "1.0.0", "scripts": {"build": "node wait.js", "start": "true"}}',
        "wait.js": "console.log('waiting'); setTimeout(() => console.log('waited'), 8000)",
    }
)


def fetch(url: str) -> str:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - an address of our own network
                return str(answer.read().decode())
        except OSError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)


def serve(platform: BuildPlatform, app_id: uuid.UUID, config: Path) -> str:
    """Run the web process of an app's current slug, as a dyno does; its answer to GET /."""
    slug = platform.slug(app_id)
    container = platform.run_slug(
        slug.image,
        slug.process_types["web"],
        environment={"PORT": "5000", "DYNO": "web.1"},
        volumes={str(config): {"bind": "/run/secrets/config", "mode": "ro"}},
        cap_drop=["ALL"],
    )
    try:
        container.reload()
        return fetch(f"http://{container.attrs['NetworkSettings']['Networks'][STACK]['IPAddress']}:5000/")
    finally:
        container.remove(force=True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text("export GREETING='Hej'\nexport PORT='1'\nexport DYNO='worker.9'\n")
    return path


@dataclass(frozen=True)
class Deployed:
    """An example app after its first build."""

    name: str
    language: str
    test: str
    app: uuid.UUID
    build: Build


@pytest.fixture(
    scope="module",
    params=[("python", "Python", "python -m unittest"), ("node", "Node.js", "node --test")],
    ids=["python", "node"],
)
def deployed(platform: BuildPlatform, request: pytest.FixtureRequest) -> Deployed:
    name, language, test = request.param
    app = platform.create_app()
    build_id = platform.push(app, example(name), "0123456789abcdef0123456789abcdef01234567")
    return Deployed(name, language, test, app, platform.wait(build_id))


def test_an_example_becomes_a_release_that_serves(platform: BuildPlatform, deployed: Deployed, config: Path) -> None:
    output = platform.output(deployed.build.id)
    assert deployed.build.status == "succeeded", platform.explain(deployed.build.id)
    headings = [
        "-----> Building on the dynoform-13 stack",
        "-----> Determining which buildpack to use for this app",
        f"-----> {deployed.language} app detected",
        "-----> Discovering process types\n       Procfile declares types -> web\n",
        "-----> Compressing...\n       Done: ",
        "-----> Launching...\n       Released v2\n",
        " deployed to Dynoform\n",
    ]
    positions = [output.find(heading) for heading in headings]
    assert -1 not in positions and positions == sorted(positions), output
    answer = serve(platform, deployed.app, config)
    assert answer.splitlines() == [f"Hej from {deployed.language}", "dyno web.1"]


def test_an_example_passes_its_own_tests_in_its_slug(platform: BuildPlatform, deployed: Deployed) -> None:
    container = platform.run_slug(platform.slug(deployed.app).image, deployed.test)
    assert container.wait(timeout=60)["StatusCode"] == 0, container.logs().decode()


def test_the_same_source_makes_the_same_image_from_a_cold_and_from_a_warm_cache(
    platform: BuildPlatform, deployed: Deployed
) -> None:
    image = platform.slug(deployed.app).image
    warm = platform.push(deployed.app, example(deployed.name))
    assert platform.wait(warm).status == "succeeded"
    assert "from the cache" not in platform.output(deployed.build.id)
    assert "from the cache" in platform.output(warm)
    assert platform.slug(deployed.app).image == image
    assert platform.releases(deployed.app) == [1, 2, 3]


def test_a_push_of_ones_own_files_sends_one_layer(platform: BuildPlatform, deployed: Deployed) -> None:
    registry = Registry(platform.configuration)

    def pushed(**more: str | Path) -> list[dict[str, Any]]:
        app = platform.create_app()
        build = platform.push(app, example(deployed.name, **more))
        assert platform.wait(build).status == "succeeded", platform.explain(build)
        manifest = registry.manifest(*parts(platform.slug(app).image))
        assert manifest
        return list(manifest["layers"])

    before, after = pushed(), pushed(notes="changed" * 1000)
    registry.close()
    assert before[:-1] == after[:-1] and before[-1] != after[-1]
    dependencies, own = after[-2]["size"], after[-1]["size"]
    assert own < 100_000 < dependencies


def test_the_mirror_is_asked_for_updates_of_the_stacks_images_and_nothing_is_left(
    platform: BuildPlatform, deployed: Deployed
) -> None:
    def told() -> StackImage | None:
        with platform.store.transaction() as session:
            found = stack_images.newest(session, stack_images.RUN)
            return found if found and (found.updates is not None or found.failure) else None

    def left() -> list[object]:
        label = {"label": f"{ASK_LABEL}={STACK}"}
        return list(platform.engine.containers.list(all=True, ignore_removed=True, filters=label))

    deadline = time.monotonic() + 180
    while not (image := told()) or left():
        assert time.monotonic() < deadline, platform.explain(deployed.build.id)
        time.sleep(0.5)
    assert image.failure is None
    assert platform.slug(deployed.app).base == image.version


def test_a_slug_made_elsewhere_becomes_an_image_that_serves(platform: BuildPlatform, config: Path) -> None:
    app, identity = platform.create_app(), uuid.uuid4()
    server = "from http.server import *\nHTTPServer(('', 5000), SimpleHTTPRequestHandler).serve_forever()\n"
    data = tarball({"./app/serve.py": server, "./app/index.html": "Hej from a slug"})
    (platform.folder / "sources" / str(identity)).write_bytes(data)
    with platform.store.transaction() as session:
        assert lock_app(session, app)
        slug = Slug(id=identity, app_id=app, image="", size=0, checksum="", stack="dynoform-13")
        slug.process_types = {"web": "python3 serve.py"}
        session.add(slug)
        session.flush()
        jobs.add(session, app, Kind.SLUG, identity)
    deadline = time.monotonic() + 60
    while platform.job(identity) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with platform.store.transaction() as session:
        made = session.get_one(Slug, identity)
        assert (made.failure, made.size > 0) == (None, True)
        create_release(
            session, session.get_one(App, app), description="Deploy", account_id=platform.account_id, slug=made
        )
    assert serve(platform, app, config) == "Hej from a slug"


def test_a_source_that_leads_out_of_its_folder_is_refused(platform: BuildPlatform) -> None:
    build = platform.wait(platform.push(platform.create_app(), tarball({"../../etc/passwd": "root"})))
    assert build.status == "failed"
    assert str(build.failure).startswith("source: has a file named '../../etc/passwd'")


def test_a_build_is_unprivileged_and_its_secrets_are_files_of_its_own(platform: BuildPlatform) -> None:
    script = (
        "console.log('uid', process.getuid(), fs.readFileSync('/proc/self/status', 'utf8').match(/CapBnd:.*/)[0]);"
        "const { API_KEY, SOURCE_VERSION } = process.env;"
        "console.log('key', API_KEY.length, fs.existsSync('/var/run/docker.sock'), SOURCE_VERSION);"
        "console.log('it is', API_KEY.slice(0, 4) + '\\u001b[1m' + API_KEY.slice(4));"
        "console.log('\\u001b[31mred\\u001b[0m\\u001b]0;title\\u0007 plain');"
        "setTimeout(() => {}, 10000)"  # for as long, its container can be looked at
    )
    source = tarball(
        {
            "package.json": '{"name": "a", "version": "1.0.0", "scripts": {"build": "node b.js", "start": "true"}}',
            "b.js": f"const fs = require('fs');{script}",
        }
    )
    app = platform.create_app({"API_KEY": "not-for-inspection"})
    build_id = platform.push(app, source, "v1.2")
    platform.wait_for(build_id, "red")
    (container,) = [item for item in platform.build_containers() if item.labels["dynoform.build"] == str(build_id)]
    assert "not-for-inspection" not in str(container.attrs)
    assert platform.on_disk(container, "not-for-inspection") == []
    assert platform.on_disk(container, "API_KEY.length")  # where the app's own files are
    assert platform.wait(build_id).status == "succeeded"
    output = platform.output(build_id)
    assert re.search(r"uid 1000 CapBnd:\s*0{16}\n", output)
    assert "key 18 false v1.2" in output
    assert "       red plain\n" in output
    assert "       it is [masked]\n" in output
    assert "not-for-inspection" not in output


def test_a_buildpack_list_and_a_slugignore_are_respected(platform: BuildPlatform) -> None:
    source = tarball(
        {
            ".buildpacks": "heroku/nodejs\nheroku/python\n",
            ".slugignore": "*.psd\n/docs\n",
            "package.json": '{"name": "a", "version": "1.0.0"}',
            "requirements.txt": "",
            "art.psd": "big",
            "docs/guide.md": "long",
            "kept/docs": "short",
            "Procfile": "web: python3 -m http.server $PORT\n",
        }
    )
    app = platform.create_app()
    build_id = platform.push(app, source)
    assert platform.wait(build_id).status == "succeeded", platform.explain(build_id)
    assert "-----> Using buildpack: heroku/nodejs" in platform.output(build_id)
    assert "-----> Using buildpack: heroku/python" in platform.output(build_id)
    container = platform.run_slug(
        platform.slug(app).image, "find . -type f -not -path './.heroku/*' | sort; which python"
    )
    container.wait(timeout=30)
    listing = container.logs().decode().split()
    assert "./kept/docs" in listing and "/app/.heroku/python/bin/python" in listing
    assert "./art.psd" not in listing and "./docs/guide.md" not in listing


def test_a_build_outlives_its_builder_once_and_is_released_once(platform: BuildPlatform) -> None:
    app = platform.create_app()
    build_id = platform.push(app, SLOW)
    platform.wait_for(build_id, "waiting")
    platform.stop_builder("SIGKILL")
    platform.start_builder()
    build = platform.wait(build_id)
    assert build.status == "succeeded", platform.explain(build_id)
    assert "The builder was interrupted. Building again." in platform.output(build_id)
    assert platform.releases(app) == [1, 2]
    platform.until(lambda: not platform.build_containers())


def test_a_builder_that_is_told_to_stop_frees_its_build_at_once(platform: BuildPlatform) -> None:
    app = platform.create_app()
    build_id = platform.push(app, SLOW)
    platform.wait_for(build_id, "waiting")
    platform.stop_builder()
    freed = platform.job(build_id)
    assert freed and (freed.lease_holder, freed.attempts) == (None, 0)
    assert platform.build(build_id).status == "pending"
    assert platform.build_containers() == []
    platform.start_builder()
    assert platform.wait(build_id).status == "succeeded"
    assert platform.releases(app) == [1, 2]


def test_a_build_whose_builders_died_twice_is_given_up(platform: BuildPlatform) -> None:
    platform.stop_builder()
    app = platform.create_app()
    build_id = platform.push(app, tarball({"requirements.txt": "", "Procfile": "web: true\n"}))
    with platform.store.transaction() as session:
        session.get_one(Job, build_id).attempts = ATTEMPTS
    platform.start_builder()
    build = platform.wait(build_id)
    assert (build.status, build.failure) == ("failed", "the builder was interrupted twice: push again")
    last = " !     The builder was interrupted twice: push again.\n !     Push rejected, the build did not finish."
    assert platform.output(build_id).rstrip("\n").endswith(last)
    assert platform.releases(app) == [1]


def test_a_registry_that_does_not_answer_fails_the_build_and_no_release(platform: BuildPlatform) -> None:
    app = platform.create_app()
    source = tarball({"requirements.txt": "", "Procfile": "web: true\n"})
    registry = platform.engine.containers.get(f"{STACK}_registry")
    registry.pause()
    try:
        build_id = platform.push(app, source)
        build = platform.wait(build_id)
    finally:
        registry.unpause()
    assert build.failure == "build: the platform could not finish it — push again"
    last = " !     Push failed: the platform could not finish the build. Push again."
    assert platform.output(build_id).rstrip("\n").endswith(last)
    assert platform.releases(app) == [1]
    assert platform.wait(platform.push(app, source)).status == "succeeded"
    assert platform.releases(app) == [1, 2]


def test_builds_of_an_app_run_one_after_the_other(platform: BuildPlatform) -> None:
    app = platform.create_app()
    first, second = platform.push(app, SLOW), platform.push(app, example("node"))
    platform.wait_for(first, "waiting")
    other = platform.push(platform.create_app(), tarball({"requirements.txt": "", "Procfile": "web: true\n"}))
    other_began = False
    while platform.build(first).status == "pending":
        seen = platform.output(second)
        assert seen == "" or platform.build(first).status != "pending"
        other_began = other_began or platform.output(other) != ""
        time.sleep(0.1)
    assert other_began  # another app's build does not wait
    assert [platform.wait(first).status, platform.wait(second).status] == ["succeeded", "succeeded"]
    assert platform.releases(app) == [1, 2, 3]
    assert platform.build(first).release_id != platform.build(second).release_id


def test_a_cancelled_build_leaves_nothing_and_the_next_one_runs(platform: BuildPlatform) -> None:
    app, quick = platform.create_app(), tarball({"requirements.txt": "", "Procfile": "web: true\n"})
    build_id = platform.push(app, SLOW)
    waiting, following = platform.push(app, quick), platform.push(app, quick)
    platform.wait_for(build_id, "waiting")
    for cancelled in (waiting, build_id):
        platform.cancel(cancelled)
    began = time.monotonic()
    while str(build_id) in {container.labels["dynoform.build"] for container in platform.build_containers()}:
        assert time.monotonic() - began < 60, platform.explain(build_id)
        time.sleep(0.1)
    assert platform.wait(following).status == "succeeded", platform.explain(following)
    for cancelled in (waiting, build_id):
        build = platform.build(cancelled)
        assert (build.status, build.failure, build.release_id) == ("failed", "the build was cancelled", None)
        assert platform.output(cancelled).endswith(" !     The build was cancelled.\n")
    assert "waited" not in platform.output(build_id)
    assert platform.releases(app) == [1, 2]


def test_a_builder_on_another_host_gets_sources_by_the_api(platform: BuildPlatform) -> None:
    app = platform.create_app()
    platform.stop_builder()
    with serving(platform, GATEWAY, API_PORT):
        platform.start_builder(disk=False, host="two")
        build_id = platform.push(app, tarball({"requirements.txt": "", "Procfile": "web: true\n"}))
        assert platform.wait(build_id).status == "succeeded", platform.explain(build_id)
        platform.stop_builder()
    assert platform.build(build_id).host == "two"
    platform.start_builder()


def test_a_container_that_several_remove_is_gone_for_all(platform: BuildPlatform) -> None:
    engine = Engine(platform.configuration)
    image, labels = platform.configuration.run_image, {"dynoform.test.build": ""}
    made = [platform.engine.containers.run(image, ["sleep 60"], detach=True, labels=labels).id for _ in range(3)]
    with ThreadPoolExecutor(12) as several:
        removals = [several.submit(engine.remove, identifier) for identifier in made * 4]
    assert [removal.exception() for removal in removals] == [None] * 12
    assert not set(made) & {found["Id"] for found in platform.engine.api.containers(all=True)}


def test_an_idle_builder_is_small(platform: BuildPlatform) -> None:
    assert platform.builder
    deadline = time.monotonic() + 60
    while len(platform.builder.top()["Processes"]) > 1:
        assert time.monotonic() < deadline, platform.builder.top()
        time.sleep(0.5)
    status = platform.builder.exec_run(["cat", "/proc/1/status"]).output.decode()
    assert int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) < 45 * 1024  # type: ignore[union-attr]


def test_left_overs_of_these_tests_are_found_again(platform: BuildPlatform) -> None:
    platform.stop_builder()
    remove_left_overs(platform.engine)
    labelled = platform.engine.containers.list(all=True, filters={"label": f"dynoform.stack={STACK}"})
    assert labelled == [] and platform.engine.networks.list(names=[f"^{STACK}$"]) == []
