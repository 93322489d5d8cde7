"""Apps for Cloud Native Buildpacks on a real engine: how ``pack`` is run, and what becomes of its image."""

import json
import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from dynoform.build.container import APP_LABEL, BUILD_LABEL, STACK_LABEL, Engine
from dynoform.build.container_build import ContainerBuild
from dynoform.build.job import Tools
from dynoform.build.limited_engine import LimitedEngine, limits
from dynoform.build.source import Source
from dynoform.build.verdict import BuildRejectedError
from dynoform.build.workbench import CAPABILITIES, Workbench
from dynoform.domain import dyno_container
from dynoform.domain.jobs import Kind
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.journal import Journal
from dynoform.store.job_queue import Claim
from dynoform.store.secrets import Vault
from tests.integration.build_platform import GATEWAY, LABEL, STACK, BuildPlatform, images, platform, tarball
from tests.integration.dyno_platform import Recorder

__all__ = ["images", "platform"]
pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

STAND_IN = Path(__file__).parent / "pack"
MIB = 1024 * 1024
SAY = "#!/bin/sh\necho by pack, $GREETING\n"
DESCRIPTOR = '[_]\nschema-version = "0.2"\n[io.buildpacks]\nbuilder = "%s"\n'


@dataclass
class Said:
    """A build's output."""

    text: str = ""
    pieces: list[bytes] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.text += text

    def feed(self, data: bytes, *, final: bool = False) -> None:
        self.text += data.decode()

    def line(self, word: str) -> Any:
        """What a line that begins so has in JSON."""
        (found,) = (line for line in self.text.splitlines() if line.startswith(f"{word} "))
        return json.loads(found.removeprefix(f"{word} "))


@dataclass
class Workshop:
    """Builds as the builder does them, in this process, with a builder image in the one registry that there is."""

    platform: BuildPlatform
    tools: Tools
    builder: str
    said: Said = field(default_factory=Said)

    def build(self, folder: Path, **files: str | Path) -> ContainerBuild:
        """A build of an app with these files; where its images come from is not looked at."""
        app_id, build_id = self.platform.create_app(), uuid.uuid4()
        claim = Claim(build_id, Kind.BUILD, app_id, 1, 1, None, "test")
        made = ContainerBuild(self.tools, claim, self.said, lambda: None)  # type: ignore[arg-type]
        made.bench = Workbench(self.tools.engine, build_id, app_id, allowed=lambda address: True)
        descriptor = {"project.toml": DESCRIPTOR % self.builder}
        (folder / "source").write_bytes(tarball({**descriptor, "say": SAY, **files}))
        return made

    def left(self) -> list[str]:
        """Containers of builds on the engine."""
        return [identifier for identifier, _ in self.tools.engine.containers()]


@pytest.fixture
def workshop(platform: BuildPlatform) -> Iterator[Workshop]:
    configuration = replace(platform.configuration, dyno_network=STACK)
    vault = Vault(configuration.secret("encryption_key"))
    tools = Tools(configuration, platform.store, vault, Engine(configuration), Recorder(), Journal("builder"))  # type: ignore[arg-type]
    tools.stack_images.get()  # has the stack's image in the registry
    (tag, *_) = tools.registry.tags("stacks/stack-13")
    yield Workshop(platform, tools, f"{GATEWAY}:5000/stacks/stack-13:{tag}")
    tools.registry.close()


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of that name on the PATH, where it runs with this test's Python."""
    (folder := tmp_path / "programs").mkdir()
    os.symlink(STAND_IN, folder / "pack")
    os.symlink(shutil.which("python3") or "", folder / "python3")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.usefixtures("stand_in")
def test_pack_is_run_with_limits_and_its_image_becomes_a_slug(workshop: Workshop, tmp_path: Path) -> None:
    made = workshop.build(tmp_path)
    slug = made.slug(Source.inspect(tmp_path / "source"), "v1")
    said = workshop.said
    assert (
        said.text.startswith("=== Building with pack (project.toml)\n")
        and "=== Pushing app (project.toml)\n" in said.text
    )
    (build, name, *options), variables, files = said.line("called")
    app_id = made.bench.labels[APP_LABEL]
    assert (build, name) == ("build", f"dynoform-builds/{STACK}:{made.bench.labels[BUILD_LABEL]}-1")
    given = list(zip(options[:-1:2], options[1::2], strict=True))
    folder = dict(given)["--path"]
    assert given == [
        ("--path", folder),
        ("--descriptor", f"{folder}/project.toml"),
        ("--builder", workshop.builder),
        ("--pull-policy", "always"),
        ("--network", STACK),
        ("--cache", f"type=build;format=volume;name={STACK}_cache_{app_id}"),
        ("--cache", f"type=launch;format=volume;name={STACK}_cache_{app_id}_launch"),
    ]
    assert options[-1] == "--no-color"
    assert {"DOCKER_HOST", "HOME", "PACK_HOME", "PATH"} <= set(variables) and not any(
        "DYNOFORM" in each for each in variables
    )
    assert sorted(files) == ["project.toml", "say"] and not Path(folder).exists()
    host, labels = said.line("limited")
    assert host["Memory"] == host["MemorySwap"] == 2048 * MIB and host["PidsLimit"] == 512 and host["NanoCpus"] > 0
    assert host["CapDrop"] == ["ALL"] and "SYS_ADMIN" not in host["CapAdd"] and not host["Privileged"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert labels.items() >= made.bench.labels.items()
    assert slug.process_types == {"web": "/cnb/process/web"} and slug.stack == "container"
    (config := tmp_path / "config").write_text("export GREETING=Hej\n")
    launcher = dyno_container.launcher("web.1", own_image=True, words=True)
    dyno = workshop.platform.engine.containers.run(
        slug.images["web"],
        [slug.process_types["web"]],
        entrypoint=dyno_container.supervised(launcher),
        user="1000:1000",
        detach=True,
        labels={LABEL: ""},
        volumes={str(config): {"bind": "/run/secrets/config", "mode": "ro"}},
    )
    dyno.wait(timeout=30)
    assert dyno.logs().decode() == "by pack, Hej\n"
    caches = {volume for volume, owner in workshop.tools.engine.cache_volumes() if owner == app_id}
    assert caches == {f"{STACK}_cache_{app_id}", f"{STACK}_cache_{app_id}_launch"}
    made.bench.clear()
    assert not [name for name, build in workshop.tools.engine.build_images() if build == made.bench.labels[BUILD_LABEL]]


@pytest.mark.usefixtures("stand_in")
def test_a_pack_that_fails_is_told_and_one_that_is_cancelled_ends(workshop: Workshop, tmp_path: Path) -> None:
    failing = workshop.build(tmp_path, fail="")
    with pytest.raises(BuildRejectedError, match="pack ended with code 7"):
        failing.slug(Source.inspect(tmp_path / "source"), None)
    failing.bench.clear()
    waiting = workshop.build(tmp_path, wait="")
    workshop.said.text = ""

    def cancel() -> None:
        deadline = time.monotonic() + 60
        while "limited" not in workshop.said.text and time.monotonic() < deadline:
            time.sleep(0.05)
        waiting.bench.end()

    threading.Thread(target=cancel).start()
    with pytest.raises(BuildRejectedError, match="pack ended with code -9"):
        waiting.slug(Source.inspect(tmp_path / "source"), None)
    waiting.bench.clear()
    assert workshop.left() == []
    with pytest.raises(UnavailableError, match="was told to end"):
        waiting.slug(Source.inspect(tmp_path / "source"), None)


@pytest.mark.usefixtures("stand_in")
def test_a_builder_that_only_the_platform_reaches_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    made = workshop.build(tmp_path)
    made.bench = Workbench(workshop.tools.engine, uuid.uuid4(), uuid.uuid4())
    with pytest.raises(InvalidInputError, match=f"is at {GATEWAY}, which is no public address"):
        made.slug(Source.inspect(tmp_path / "source"), None)


def test_what_a_client_of_the_engine_makes_has_limits_and_all_else_passes(
    platform: BuildPlatform, tmp_path: Path
) -> None:
    build, labels = str(uuid.uuid4()), {STACK_LABEL: STACK}
    held = limits(CAPABILITIES)

    def docker(*words: str, said: str = "") -> str:
        command = ["docker", "--host", engine.address, *words]
        done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    with LimitedEngine(tmp_path, labels | {BUILD_LABEL: build}, held) as engine:
        image = platform.configuration.run_image
        assert image in docker("images", "--format", "{{.Repository}}:{{.Tag}}")
        run = ("run", "--rm", "--interactive", "--entrypoint", "cat", "--label", LABEL)
        assert docker(*run, image, said="there and back\n" * 10_000) == "there and back\n" * 10_000
        made = docker(
            "create", "--privileged", "--memory", "1g", "--label", f"{LABEL}=", "--name", build, image
        ).strip()
        found = platform.engine.containers.get(made)
        try:
            assert found.labels == {**found.labels, BUILD_LABEL: build, STACK_LABEL: STACK, LABEL: ""}
            host = found.attrs["HostConfig"]
            host["CapAdd"] = sorted(name.removeprefix("CAP_") for name in host["CapAdd"])
            assert {name: host[name] for name in held} == held
        finally:
            docker("rm", build)
    with pytest.raises(NotFound):
        platform.engine.containers.get(made)
    with suppress(FileNotFoundError):
        pytest.fail(f"{(tmp_path / 'engine.sock').stat()} is still there")


@pytest.mark.skipif(
    shutil.which("pack") is None,
    reason="pack is not installed: neither it nor builder images can be had from package registries",
)
@pytest.mark.slow
def test_an_app_is_built_by_the_real_pack(workshop: Workshop, tmp_path: Path) -> None:
    workshop.builder = os.environ.get("DYNOFORM_TEST_CNB_BUILDER", "heroku/builder:24")
    files: dict[str, str | Path] = {"requirements.txt": "", "Procfile": "web: python -m http.server $PORT\n"}
    made = workshop.build(tmp_path, **files)
    try:
        slug = made.slug(Source.inspect(tmp_path / "source"), None)
    finally:
        made.bench.clear()
    assert slug.process_types["web"] == "/cnb/process/web"
    assert workshop.left() == []
