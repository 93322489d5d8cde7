"""Apps of the stack container on a real engine: heroku.yml and Dockerfiles, good, broken and hostile."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest
from docker.errors import ImageNotFound
from docker.models.containers import Container

from dynoform.build.container import Engine
from dynoform.build.registry import Registry
from dynoform.build.workbench import Workbench
from dynoform.domain import dyno_container
from dynoform.domain.image_names import ImageName
from dynoform.errors import InvalidInputError
from dynoform.store.tables import Job, now
from tests.integration.build_api import client_of, ended, push, serving
from tests.integration.build_platform import GATEWAY, LABEL, STACK, BuildPlatform, images, running, tarball
from tests.integration.test_build import fetch

__all__ = ["images"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

HERE = Path(__file__).parent
NEW = ["Initial release", "Enable Logplex"]
"""The releases of an app that nothing was deployed to."""
WHOLE = """
build:
  docker:
    web: Dockerfile
    worker: {dockerfile: jobs/Dockerfile, target: lean}
  config: {GREETING: Hej}
release: {command: "echo migrating $SECRET as $(id -u)", image: worker}
run:
  worker: cat /srv/words
"""
WEB = r"""
# syntax=docker/dockerfile:1
ARG BASE=dynoform-13
FROM $BASE AS maker
USER root
ARG GREETING=none
WORKDIR /made
COPY *.txt page/ ./
RUN <<DONE
set -e
echo "$GREETING from $(cat a.txt) and $(ls | tr '\n' ' ')" >page.html
ln -s ../etc/hostname elsewhere
DONE

FROM unused-image AS never
RUN false

FROM dynoform-13
ENV FOLDER=/app/public \
    # among continued lines
    LABEL="as an image"
LABEL dynoform.test.build=""
COPY --from=maker --chown=dyno:dyno --chmod=640 /made $FOLDER
ADD more.tar.gz $FOLDER/more
EXPOSE 5000
HEALTHCHECK CMD true
WORKDIR $FOLDER
CMD ["sh", "-c", "exec python3 -m http.server $PORT"]
"""
JOBS = """
FROM scratch AS bare
COPY words /srv/words
FROM dynoform-13 AS lean
COPY --from=bare /srv /srv
FROM lean AS full
RUN false
"""


@dataclass
class Site:
    """The platform, with the API on it."""

    platform: BuildPlatform
    client: httpx.Client

    def app(self, **config: str) -> str:
        """A new container app."""
        name = str(self.client.post("/apps", json={"stack": "container"}).raise_for_status().json()["name"])
        if config:
            self.client.patch(f"/apps/{name}/config-vars", json=config).raise_for_status()
        return name

    def build(self, app: str, source: bytes) -> tuple[str, str | None, str]:
        """Status, failure and output of a build of a source."""
        return ended(self.platform, self.client, app, push(self.client, app, source))

    def refused(self, source: bytes) -> tuple[str, str]:
        """Why a source is refused, and what its build said."""
        app = self.app()
        status, failure, said = self.build(app, source)
        assert status == "failed", said
        assert self.releases(app) == NEW
        assert failure
        return failure, said

    def releases(self, app: str) -> list[str]:
        """What the app's releases are called."""
        return [str(release["description"]) for release in self.client.get(f"/apps/{app}/releases").json()]

    def dyno(self, app: str, kind: str, config: Path) -> Container:
        """A dyno of the current release, as the reconciler starts it."""
        slug = self.platform.slug(uuid.UUID(self.client.get(f"/apps/{app}").json()["id"]))
        launcher = dyno_container.launcher(f"{kind}.1", own_image=True, words=True)
        container: Container = self.platform.engine.containers.run(
            slug.image_of(kind),
            [slug.process_types[kind]],
            entrypoint=dyno_container.supervised(launcher),
            user="1000:1000",
            cap_drop=["ALL"],
            detach=True,
            network=STACK,
            labels={LABEL: ""},
            init=True,
            volumes={str(config): {"bind": "/run/secrets/config", "mode": "ro"}},
        )
        container.reload()
        return container

    def left(self) -> list[str]:
        """What builds have left on the engine."""
        engine = Engine(self.platform.configuration)
        containers = [identifier for identifier, _ in engine.containers()]
        return containers + [name for name, _ in engine.build_images()]


@pytest.fixture(scope="module")
def site(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("platform")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    with running(images, folder) as platform, serving(platform) as url, client_of(url) as client:
        platform.start_builder()
        yield Site(platform, client)


def dockerfile(*lines: str, base: str = "dynoform-13", **files: str | Path) -> bytes:
    """A container app whose one image has these instructions; ``files`` are beside it."""
    text = "\n".join([f"FROM {base}", *lines, 'CMD ["true"]'])
    return tarball({"heroku.yml": "build: {docker: {web: Dockerfile}}", "Dockerfile": text, **files})


def test_an_app_is_built_as_its_heroku_yml_says(site: Site, tmp_path: Path) -> None:
    (more := tmp_path / "more.tar.gz").write_bytes(tarball({"in/side.html": "unpacked"}))
    source = tarball(
        {
            "heroku.yml": WHOLE,
            "Dockerfile": WEB,
            ".dockerignore": "*\n!*.txt\n!page\n!more.tar.gz\npage/secret.html\n",
            "a.txt": "a file",
            "page/b.html": "b",
            "page/secret.html": "secret",
            "more.tar.gz": more,
            "jobs/Dockerfile": JOBS,
            "jobs/words": "many words\n",
        }
    )
    app = site.app(SECRET="it's me")
    status, _, said = site.build(app, source)
    assert status == "succeeded", said + site.platform.builder.logs().decode()[-3000:]  # type: ignore[union-attr]
    headings = ["=== Building web (Dockerfile)", "Step 1/", "=== Building worker (jobs/Dockerfile)", "=== Pushing web"]
    places = [said.find(heading) for heading in [*headings, "Release command declared", "deployed to Dynoform"]]
    assert -1 not in places and places == sorted(places), said
    assert "HEALTHCHECK changes nothing here: the platform looks after dynos itself" in said
    assert "never" not in said and "unused-image" not in said
    release = site.client.get(f"/apps/{app}/releases").json()[-1]
    place = f"/apps/{app}/releases/{release['id']}"
    site.platform.until(lambda: site.client.get(place).json()["status"] != "pending")
    stream = httpx.URL(release["output_stream_url"])
    assert site.client.get(f"{stream.path}?{stream.query.decode()}").text == "migrating it's me as 1000\n"
    formation = {each["type"]: each["quantity"] for each in site.client.get(f"/apps/{app}/formation").json()}
    assert formation == {"release": 0, "web": 1, "worker": 0}
    assert site.client.get(f"/apps/{app}").json()["stack"]["name"] == "container"
    (config := tmp_path / "config").write_text("export PORT=5000\n")
    web, worker = site.dyno(app, "web", config), site.dyno(app, "worker", config)
    address = f"http://{web.attrs['NetworkSettings']['Networks'][STACK]['IPAddress']}:5000"
    assert fetch(f"{address}/page.html") == "Hej from a file and a.txt b.html \n"
    assert fetch(f"{address}/more/in/side.html") == "unpacked"
    look = "ls -ld page.html elsewhere; printenv LABEL GREETING"
    seen = web.exec_run(["sh", "-c", look]).output.decode()
    assert "-rw-r----- 1 dyno dyno" in seen and "-> ../etc/hostname" in seen, seen
    assert seen.endswith("as an image\n"), seen  # and no build argument
    assert worker.wait(timeout=30)["StatusCode"] == 0
    assert worker.logs() == b"many words\n"
    for dyno in (web, worker):
        dyno.remove(force=True)
    gone(site)


def test_settings_are_the_dockerfiles_own_and_nothing_of_the_build(site: Site) -> None:
    app = site.app()
    source = dockerfile("ARG HIDDEN=hidden", "COPY a /srv/", "USER 7:7", 'ENTRYPOINT ["/init"]', base="scratch", a="a")
    status, _, said = site.build(app, source)
    assert status == "succeeded", said
    slug = site.platform.slug(uuid.UUID(site.client.get(f"/apps/{app}").json()["id"]))
    assert slug.process_types == {"web": "/init true"}
    image = site.platform.engine.images.pull(slug.image)
    config: dict[str, Any] = image.attrs["Config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("7:7", ["/init"], ["true"])
    assert not any(name.startswith("dynoform") for name in config["Labels"] or {})
    assert "hidden" not in json.dumps(image.attrs)
    site.platform.engine.images.remove(slug.image, force=True)


WRONG = [
    (tarball({"Dockerfile": "FROM scratch"}), "heroku.yml: is missing — add one that says which Dockerfile to build"),
    (
        tarball({"project.toml": '[_]\nschema-version = "0.2"\n'}),
        "project.toml: builders have no pack to run Cloud Native Buildpacks with — install pack, build the image",
    ),
    (tarball({"heroku.yml": "build: {docker: {web: 5}}"}), "heroku.yml: build.docker.web: must be an object"),
    (
        tarball({"heroku.yml": "build: {docker: {web: x/Dockerfile}}"}),
        "heroku.yml: build.docker.web: there is no file x/Dockerfile — name one that is",
    ),
    (dockerfile("FORM a"), "Dockerfile line 2: FORM a: FORM is not an instruction"),
    (dockerfile("COPY b /"), "Dockerfile line 2: COPY b /: b is not there — look at its name, and at .dockerignore"),
    (dockerfile("COPY --from=0 b /", base="scratch\nFROM scratch"), "COPY --from=0 b /: b is not there"),
    (dockerfile("COPY --chown=nobody-here a /", a="a"), "the image has no user or group 'nobody-here'"),
    (dockerfile("RUN true", base="scratch"), "the RUN in line 2 of Dockerfile ended with code 127"),
    (dockerfile("USER nobody-here", "RUN true"), "RUN true: program /bin/sh cannot be started in the image ("),
    (dockerfile("ADD http://169.254.169.254/ /"), "ADD http://169.254.169.254/ /: fetches nothing here"),
    (dockerfile("WORKDIR /etc/passwd"), "WORKDIR /etc/passwd: /etc/passwd is not a folder"),
    (dockerfile("ADD a.tar /", **{"a.tar": "no tar at all"}), "ADD a.tar /: cannot be copied ("),
    (dockerfile("RUN echo it breaks; exit 3"), "the RUN in line 2 of Dockerfile ended with code 3"),
    (dockerfile("RUN tail /dev/zero"), "the build needed more than 2147.5M of memory"),
    (dockerfile(base=f"{GATEWAY}:5000/stacks/stack-13"), f"is at {GATEWAY}, which is no public address"),
    (dockerfile(base="localhost:5000/a"), "is at localhost, which is no public address"),
    (
        tarball({"heroku.yml": "build: {docker: {web: D}}", "D": "FROM scratch"}),
        "process type web: its image has no CMD — add one to its Dockerfile, or a command to heroku.yml",
    ),
]


def test_what_is_wrong_is_told_in_one_line_and_changes_nothing(site: Site) -> None:
    pushed = [(app := site.app(), push(site.client, app, source)) for source, _ in WRONG]
    for (app, build), (_, failure) in zip(pushed, WRONG, strict=True):
        status, why, said = ended(site.platform, site.client, app, build)
        assert status == "failed", said
        assert failure in str(why) and "\n" not in str(why), said
        assert said.count(" !     Push ") == 1, said
        assert site.releases(app) == NEW


def test_an_image_hub_that_cannot_be_reached_is_named(site: Site) -> None:
    failure, said = site.refused(dockerfile(base="hub.invalid/a"))
    why = "image hub.invalid/a:latest: cannot be had (hub.invalid cannot be reached: "
    line = f"Dockerfile line 1: FROM hub.invalid/a: {why}"
    assert failure.startswith(line), failure
    assert f" !     {line}" in said


def test_an_image_of_somebody_else_on_the_host_is_not_found(site: Site) -> None:
    """By its id, of which a part is enough for the engine, nor by the name that it has there."""
    image = site.platform.engine.images.get(site.platform.configuration.run_image)
    for base in (image.id, image.id.removeprefix("sha256:")[:12], site.platform.configuration.run_image):
        failure, _ = site.refused(dockerfile(base=base))
        assert "cannot be had" in failure or "is not the name of an image" in failure, failure


def test_a_base_image_is_fetched_and_known_to_its_build_alone(site: Site) -> None:
    """From the one registry that is there, which no user may name."""
    engine, registry = Engine(site.platform.configuration), Registry(site.platform.configuration)
    (tag,) = registry.tags("stacks/stack-13")
    registry.close()
    bench = Workbench(engine, uuid.uuid4(), uuid.uuid4(), allowed=lambda address: True)
    name = ImageName(f"{GATEWAY}:5000", "stacks/stack-13", tag)
    site.platform.engine.images.remove(name.full)
    own, settings = bench.pull(name)
    assert (settings.user, settings.folder) == ("dyno", "/app")
    assert site.platform.engine.images.get(own).tags.count(own) == 1
    with pytest.raises(ImageNotFound):
        site.platform.engine.images.get(name.full)
    with pytest.raises(InvalidInputError, match=r"cannot be had .*not found"):
        bench.pull(replace(name, reference="no-such-tag"))
    bench.clear()
    with pytest.raises(ImageNotFound):
        site.platform.engine.images.get(own)


def test_a_hostile_dockerfile_gets_nowhere(site: Site) -> None:
    beside: dict[str, Any] = {name: HERE / name for name in ("hostile_image.py", "hostile_build.py", "hostile.py")}
    source = dockerfile(
        "USER root",
        "COPY . /work",
        f"RUN cd /work && python3 hostile_image.py {GATEWAY}:5000",
        **beside,
    )
    app = site.app()
    status, _, said = site.build(app, source)
    assert status == "succeeded", said
    (line,) = (line for line in said.splitlines() if line.startswith("found {"))
    report = json.loads(line.removeprefix("found "))
    assert 400 < report.pop("forks") < 512
    answer = report.pop("registry")
    assert answer == "closed" or answer.split(" ")[1] in {"400", "401", "403"}, answer
    assert report == {
        "gains": [],
        "user": 0,
        "no_new_privileges": "1",
        "seccomp": "2",
        "capabilities": "00000000800000fb",
        "large_file": False,
        "told": [],
        "secrets": False,
        "disks": [],
    }


def test_a_cancelled_build_leaves_no_container_and_no_image(site: Site) -> None:
    app = site.app()
    identifier = uuid.UUID(push(site.client, app, dockerfile("RUN echo begun; sleep 300")))
    site.platform.wait_for(identifier, "begun\n")
    site.client.delete(f"/apps/{app}/builds/{identifier}").raise_for_status()
    gone(site)
    assert site.build(app, dockerfile())[0] == "succeeded"


def test_a_builder_that_is_killed_leaves_nothing_once_the_next_one_has_built(site: Site) -> None:
    app = site.app()
    source = dockerfile("COPY a /srv/", "RUN echo begun; sleep 8", a="a")
    identifier = uuid.UUID(push(site.client, app, source))
    site.platform.wait_for(identifier, "begun\n")
    site.platform.stop_builder("SIGKILL")
    with site.platform.store.transaction() as session:
        session.get_one(Job, identifier).lease_expires_at = now()  # not in 20 seconds
    site.platform.start_builder()
    build = site.platform.wait(identifier)
    assert build.status == "succeeded", site.platform.explain(identifier)
    gone(site)


def kept(site: Site, app: str) -> list[str]:
    """The images on the engine that the app's next build may take up."""
    app_id = site.client.get(f"/apps/{app}").json()["id"]
    return [name for name, owner in Engine(site.platform.configuration).kept_images() if owner == app_id]


def test_what_has_not_changed_is_not_run_again_until_the_cache_is_purged(site: Site) -> None:
    app, again = site.app(), "As in the last build: taken from there"
    lines = ("COPY a /srv/", "USER root", "RUN date +%s%N | tee /srv/first", "COPY b /srv/")

    def build(b: str) -> tuple[str, str]:
        """What the build said of its first RUN, and the image."""
        status, _, said = site.build(app, dockerfile(*lines, "RUN cat /srv/first /srv/b", a="a", b=b))
        assert status == "succeeded", said
        return said, site.platform.slug(uuid.UUID(site.client.get(f"/apps/{app}").json()["id"])).image

    first, image = build("b\n")
    assert again not in first and len(kept(site, app)) == 2
    same, same_image = build("b\n")
    assert same.count(again) == 2 and same_image == image
    changed, _ = build("c\n")
    moment = next(line for line in first.splitlines() if line.isdecimal())
    assert changed.count(again) == 1 and f"{moment}\nc\n" in changed
    assert len(kept(site, app)) == 2, "what it did not use is gone"
    site.client.delete(f"/apps/{app}/build-cache").raise_for_status()
    site.platform.until(lambda: not kept(site, app))
    assert again not in build("c\n")[0]
    other = site.app()
    assert again not in site.build(other, dockerfile(*lines, a="a", b="b"))[2], "it is another app's"
    gone(site)
    engine = Engine(site.platform.configuration)
    ids = {str(site.client.delete(f"/apps/{each}").raise_for_status().json()["id"]) for each in (app, other)}
    assert ids <= {owner for _, owner in engine.kept_images()}
    site.platform.stop_builder()
    site.platform.start_builder()  # whose first shift sweeps
    site.build(site.app(), dockerfile())
    site.platform.until(lambda: not ids & {owner for _, owner in engine.kept_images()})


def gone(site: Site) -> None:
    site.platform.until(lambda: not site.left())


def test_what_a_dead_build_left_is_swept(site: Site) -> None:
    engine: docker.DockerClient = site.platform.engine
    site.platform.stop_builder()
    name = f"dynoform-builds/{STACK}"
    engine.images.get(site.platform.configuration.run_image).tag(name, f"{uuid.uuid4()}-1")
    site.platform.start_builder()
    gone(site)
