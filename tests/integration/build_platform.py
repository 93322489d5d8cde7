"""As much of a platform as builds need, in containers of their own: store, registry, builder and a bridge for dynos."""

import io
import os
import shutil
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from docker.models.containers import Container
from sqlalchemy import select

from dynoform.configuration import Configuration
from dynoform.store.builds import add_build, cancel
from dynoform.store.migrate import upgrade
from dynoform.store.releases import add_config, create_release, current_release, lock_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store
from dynoform.store.tables import Account, App, Build, BuildOutput, Job, Release, Slug, Source
from tests.integration import certificates, removal

ROOT = Path(__file__).resolve().parents[2]
LABEL = "dynoform.test.build"
STACK = "bldtest"
SUBNET, GATEWAY = "172.31.250.0/24", "172.31.250.1"
CERTIFICATES = Path(f"/etc/docker/certs.d/{GATEWAY}:5000")
SOURCES = "/var/lib/dynoform/sources"
KILLED = 128 + 9
"""The exit code of what is killed."""


def build_image(engine: docker.DockerClient, noun: str, base: str) -> str:
    """Build ``images/<noun>`` on ``base`` (from the engine's cache when nothing changed); returns its name."""
    name = f"dynoform-test/{noun}:build"
    engine.images.build(
        path=str(ROOT),
        dockerfile=f"images/{noun}/Dockerfile",
        buildargs={"BASE": base},
        tag=name,
        rm=True,
        forcerm=True,
    )
    return name


@dataclass
class BuildPlatform:
    """Handles for the tests: make apps, push sources, read what became of them."""

    engine: docker.DockerClient
    store: Store
    configuration: Configuration
    account_id: uuid.UUID
    control_plane: str
    folder: Path
    builder: Container | None = None

    def start_builder(self, *, disk: bool = True, **settings: object) -> Container:
        """A builder in a container, as the service runs it: root without any capability. ``settings`` are its own.

        Without the ``disk`` it is as on a host that is not the platform's: the sources are elsewhere.
        """
        sources = {str(self.folder / "sources"): {"bind": SOURCES, "mode": "ro"}} if disk else {}
        self.builder = self.engine.containers.run(
            self.control_plane,
            ["builder"],
            name=f"{STACK}_builder_{uuid.uuid4().hex[:8]}",
            detach=True,
            user="0",
            cap_drop=["ALL"],
            labels={LABEL: ""},
            network=STACK,
            environment={
                "DYNOFORM_STACK": STACK,
                "DYNOFORM_PLATFORM_ADDRESS": GATEWAY,
                "DYNOFORM_DYNO_NETWORK": STACK,
                "DYNOFORM_RUN_IMAGE": self.configuration.run_image,
                "DYNOFORM_BUILD_IMAGE": self.configuration.build_image,
                **{f"DYNOFORM_{name.upper()}": str(value) for name, value in settings.items()},
            },
            volumes={
                "/var/run/docker.sock": {"bind": "/var/run/docker.sock"},
                str(self.folder / "secrets"): {"bind": "/run/secrets", "mode": "ro"},
                **sources,
            },
        )
        return self.builder

    def stop_builder(self, signal: str = "SIGTERM") -> None:
        """End the builder, with SIGKILL for the worst case."""
        if self.builder is not None:
            self.builder.kill(signal)
            self.builder.wait(timeout=30)

    def create_app(self, config: dict[str, str] | None = None) -> uuid.UUID:
        """An app with its first release, as the API makes it."""
        with self.store.transaction() as session:
            identity = uuid.uuid4()
            app = App(id=identity, name=f"app-{identity.hex[:8]}", owner_id=self.account_id, stack="dynoform-13")
            session.add(app)
            session.flush()
            vault = Vault(self.configuration.secret("encryption_key"))
            create_release(
                session,
                app,
                description="Initial release",
                account_id=self.account_id,
                config=add_config(session, vault, identity, config or {}),
            )
        return identity

    def push(self, app_id: uuid.UUID, tarball: bytes, version: str | None = None) -> uuid.UUID:
        """Upload a source and ask for its build, as the API does; returns the build's id."""
        source = Source(id=uuid.uuid4(), account_id=self.account_id)
        (self.folder / "sources" / str(source.id)).write_bytes(tarball)
        with self.store.transaction() as session:
            app = lock_app(session, app_id)
            assert app
            session.add(source)
            session.flush()
            return add_build(session, app, source, account_id=self.account_id, version=version).id

    def cancel(self, build_id: uuid.UUID) -> None:
        """Take a build back, as the API does (`builds:cancel`)."""
        with self.store.transaction() as session:
            build = session.get_one(Build, build_id)
            assert lock_app(session, build.app_id) and cancel(session, build)

    def wait(self, build_id: uuid.UUID, seconds: float = 300) -> Build:
        """The build when it has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            build = self.build(build_id)
            if build.status != "pending":
                return build
            time.sleep(0.2)
        raise AssertionError(f"build has not ended after {seconds} s: {self.explain(build_id)}")

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        """Wait until something is so; what the builder has said of late is shown if it never is."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                journal = self.builder.logs().decode() if self.builder else ""
                raise AssertionError(f"not after {seconds} s; the builder:\n{journal[-3000:]}")
            time.sleep(0.2)

    def explain(self, build_id: uuid.UUID) -> str:
        """Output of the build and journal of the builder, for a failed test."""
        return self.output(build_id) + (self.builder.logs().decode() if self.builder else "")

    def wait_for(self, build_id: uuid.UUID, text: str, seconds: float = 60) -> None:
        """Wait until the build's output has this text."""
        self.until(lambda: text in self.output(build_id), seconds)

    def job(self, subject_id: uuid.UUID) -> Job | None:
        """The job about a build or a release, while it is not finished."""
        with self.store.transaction() as session:
            return session.get(Job, subject_id)

    def build(self, build_id: uuid.UUID) -> Build:
        """The build's row."""
        with self.store.transaction() as session:
            return session.get_one(Build, build_id)

    def output(self, build_id: uuid.UUID) -> str:
        """What the pusher has seen so far."""
        query = select(BuildOutput.text).where(BuildOutput.build_id == build_id).order_by(BuildOutput.sequence)
        with self.store.transaction() as session:
            return "".join(session.scalars(query))

    def releases(self, app_id: uuid.UUID) -> list[int]:
        """The versions of an app's releases."""
        with self.store.transaction() as session:
            return list(
                session.scalars(select(Release.version).where(Release.app_id == app_id).order_by(Release.version))
            )

    def slug(self, app_id: uuid.UUID) -> Slug:
        """The slug of the current release."""
        with self.store.transaction() as session:
            release = current_release(session, app_id)
            assert release and release.slug
            return release.slug

    def build_containers(self) -> list[Container]:
        """Build containers of this stack on the engine, running or not."""
        found: list[Container] = self.engine.containers.list(
            all=True, ignore_removed=True, filters={"label": [f"dynoform.stack={STACK}", "dynoform.build"]}
        )
        return found

    def on_disk(self, container: Container, text: str) -> list[Path]:
        """Files with this text in them in the container's own layer, its description and its log."""
        container.reload()
        root = Path(self.engine.info()["DockerRootDir"])
        places = (root / "containers" / container.id, Path(container.attrs["GraphDriver"]["Data"]["UpperDir"]))
        files = [path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
        return [path for path in files if text.encode() in _content(path)]

    def run_slug(self, image: str, command: str, **arguments: Any) -> Container:
        """A container of the slug's image, with the command that a dyno would get."""
        container: Container = self.engine.containers.run(
            image, [command], detach=True, network=STACK, labels={LABEL: ""}, init=True, **arguments
        )
        return container


def tarball(files: dict[str, str | Path]) -> bytes:
    """A gzipped tarball of texts and files by their names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.read_bytes() if isinstance(content, Path) else content.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def example(name: str, **more: str | Path) -> bytes:
    """The source of one of our example apps, with ``more`` files."""
    folder = ROOT / "examples" / "apps" / name
    files: dict[str, str | Path] = {
        str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()
    }
    return tarball(files | more)


def deploy(platform: BuildPlatform, app_id: uuid.UUID, commands: dict[str, str], image: str | None = None) -> Release:
    """A release of the stack's own image with these process types, as a promotion makes it."""
    with platform.store.transaction() as session:
        app = session.get_one(App, app_id)
        slug = Slug(id=uuid.uuid4(), app_id=app_id, image=image or platform.configuration.run_image, size=1)
        slug.checksum, slug.stack, slug.process_types = "-", "dynoform-13", commands
        session.add(slug)
        return create_release(session, app, description="Deploy", account_id=platform.account_id, slug=slug)


def let_go(container: Container) -> None:
    """Let a command end that waits for the file ``go``."""
    # It may see the file at once, and take the container with it: then this is killed, or nobody knows how it ended.
    with suppress(NotFound):
        assert container.exec_run(["touch", "/app/go"]).exit_code in (0, KILLED, None)


def remove_left_overs(engine: docker.DockerClient) -> None:
    """Remove what an earlier run of these tests left behind, and nothing else."""
    for label in (LABEL, f"dynoform.stack={STACK}"):  # the builder first: it removes what is its own
        for container in engine.containers.list(all=True, ignore_removed=True, filters={"label": label}):
            removal.persist(container.remove, force=True, v=True)
    for volume in engine.volumes.list(filters={"label": f"dynoform.stack={STACK}"}):
        removal.persist(volume.remove, force=True)
    for image in engine.api.images():  # looks into none: others' may go meanwhile
        for name in image["RepoTags"] or ():
            if name.startswith((f"{GATEWAY}:5000/", f"dynoform-kept/{STACK}:")):
                removal.persist(engine.images.remove, name)
    removal.persist(lambda: engine.networks.get(STACK).remove())
    shutil.rmtree(CERTIFICATES, ignore_errors=True)


def _content(path: Path) -> bytes:
    """What is in a file that may go at any moment."""
    with suppress(FileNotFoundError):
        return path.read_bytes()
    return b""


@contextmanager
def running(images: dict[str, str], folder: Path) -> Iterator[BuildPlatform]:
    """The platform, with no builder yet; all of it is gone at the end of the block."""
    engine = docker.from_env(timeout=120)
    remove_left_overs(engine)
    try:
        _write_secrets(folder)
        pool = docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=SUBNET, gateway=GATEWAY)])
        engine.networks.create(STACK, driver="bridge", ipam=pool, labels={LABEL: ""})
        _start_services(engine, images, folder)
        yield _prepare(engine, images, folder)
    finally:
        remove_left_overs(engine)


def _write_secrets(folder: Path) -> None:
    secrets, services = folder / "secrets", folder / "services"
    for path in (secrets, services, folder / "sources", CERTIFICATES):
        path.mkdir(parents=True, exist_ok=True)
    authority = certificates.Authority()
    server, client = authority.issue("registry", GATEWAY), authority.issue("builder", GATEWAY, client=True)
    for path in (secrets, services):
        (path / "ca.crt").write_bytes(authority.pem)
    for path, name, pair in (
        (services, "registry", server),
        (secrets, "registry", client),
    ):
        (path / f"{name}.crt").write_bytes(pair[0])
        (path / f"{name}.key").write_bytes(pair[1])
    for name, data in (("ca.crt", authority.pem), ("client.cert", client[0]), ("client.key", client[1])):
        (CERTIFICATES / name).write_bytes(data)
    (secrets / "database_password").write_text("pass'word")
    (secrets / "encryption_key").write_text("A" * 42 + "s=")


def _start_services(engine: docker.DockerClient, images: dict[str, str], folder: Path) -> None:
    services, secrets = folder / "services", folder / "secrets"
    common = {"detach": True, "labels": {LABEL: ""}, "network": STACK, "cap_drop": ["ALL"]}
    mounts = {
        str(services / name): {"bind": f"/run/secrets/{name}"} for name in ("ca.crt", "registry.crt", "registry.key")
    }
    engine.containers.run(
        images["registry"], name=f"{STACK}_registry", ports={"5000/tcp": (GATEWAY, 5000)}, volumes=mounts, **common
    )
    password = {str(secrets / "database_password"): {"bind": "/run/secrets/database_password"}}
    engine.containers.run(
        images["postgres"], name=f"{STACK}_postgres", ports={"5432/tcp": (GATEWAY, 5432)}, volumes=password, **common
    )


def _prepare(engine: docker.DockerClient, images: dict[str, str], folder: Path) -> BuildPlatform:
    configuration = Configuration.from_environment(
        {
            "DYNOFORM_STACK": STACK,
            "DYNOFORM_PLATFORM_ADDRESS": GATEWAY,
            "DYNOFORM_RUN_IMAGE": images["stack-13"],
            "DYNOFORM_BUILD_IMAGE": images["stack-13-build"],
            "DYNOFORM_SECRETS": str(folder / "secrets"),
        }
    )
    store = Store(configuration, "test", pool=3)
    upgrade(store)
    account = uuid.uuid4()
    with store.transaction() as session:
        session.add(Account(id=account, email="operator@example.com"))
    return BuildPlatform(engine, store, configuration, account, images["control-plane"], folder)


@pytest.fixture(scope="module")
def images(request: pytest.FixtureRequest) -> dict[str, str]:
    """noun → name of the images that builds need, built from their recipes."""
    base = os.environ.get("DYNOFORM_TEST_BASE_IMAGE") or request.getfixturevalue("base_image")
    engine = docker.from_env(timeout=900)
    names = {noun: build_image(engine, noun, base) for noun in ("stack-13", "registry", "postgres", "control-plane")}
    return names | {"stack-13-build": build_image(engine, "stack-13-build", names["stack-13"])}


@pytest.fixture(scope="module")
def platform(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuildPlatform]:
    """Store, registry and a network, and a builder that works."""
    folder = tmp_path_factory.mktemp("platform")
    # The services run as users of their own and have to reach the secrets in it.
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    with running(images, folder) as made:
        made.start_builder()
        yield made
