"""One build, from its source to its release."""

import tempfile
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynoform.build import slug_image, stack_image, verdict
from dynoform.build.container import APP, BuildContainer
from dynoform.build.job import Job, Tools
from dynoform.build.output import Output
from dynoform.build.room import Room
from dynoform.build.slug import write_layers
from dynoform.build.source import Source
from dynoform.build.verdict import BuildRejectedError
from dynoform.domain import app_json, builds, images, masks, releases, slugs, stacks
from dynoform.domain.process_types import parse_procfile
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import builds as store
from dynoform.store import jobs, output, webhooks
from dynoform.store.releases import config_of, create_release, lock_app, newest_release
from dynoform.store.tables import App, Build, BuildOutput, Release, Slug
from dynoform.store.tables import Source as SourceRow

if TYPE_CHECKING:
    from dynoform.build.container_build import ContainerBuild


@dataclass(frozen=True)
class Order:
    """What is to be built, for whom."""

    app_name: str
    stack: str
    account_id: uuid.UUID
    email: str
    source_id: uuid.UUID
    source_url: str | None
    checksum: str | None
    version: str | None
    buildpacks: tuple[str, ...]
    generation: int
    """Of the app's cache."""


class BuildJob(Job):
    """A slug and a release come to be in one transaction at its end, or not at all."""

    def __init__(self, tools: Tools, claim: jobs.Claim) -> None:
        """Of a build's id."""
        self.seconds = tools.configuration.build_seconds
        super().__init__(tools, claim)
        self.output = Output(tools.store, claim, BuildOutput)
        self.container: BuildContainer | None = None
        self.images: ContainerBuild | None = None
        self.room = Room(self.end)
        self.folder = tempfile.TemporaryDirectory(prefix="build-", ignore_cleanup_errors=True)

    def beside(self) -> AbstractContextManager[object]:
        """The output is written down."""
        return self.output

    def work(self) -> None:
        """Build and release."""
        order = self._order()  # the log has a line about it already, from whoever asked for it
        if notice := stacks.notice(order.stack, self.tools.configuration.old_stacks):
            self.output.say(notice)
        if self.claim.attempt > 1:
            self.output.say(" !     The builder was interrupted. Building again.\n")
        slug = self._build(order)
        self.keeper.check()
        release = self.until_stored(lambda: self._release(order, slug))
        self.log(releases.by_user(release.description, order.email))
        self.log(releases.created_by(release.version, order.email))
        self.log("Build succeeded")
        self._report("build succeeded", order.app_name, release=release.version)

    def fail(self, error: DynoformError) -> None:
        """Say why, in the output and in one line."""
        reason, last_line = map(self.output.masked, _explained(error, self.claim.attempt))
        self.output.say(f"{last_line}\n")
        self.until_stored(lambda: self._store_failure(reason))
        self.log("Build failed -- check your build output")
        self._report("build failed", None, reason=reason)

    def end(self) -> None:
        """Kill the container; what reads its output goes on from there."""
        if self.container is not None:
            self.container.kill()
        if self.images is not None:
            self.images.bench.end()

    def clear(self) -> None:
        """Remove the container and what was fetched: another attempt makes its own."""
        self.folder.cleanup()
        container = self.container or self._begun()
        if container is not None:
            container.remove()
        if self.images is not None:
            self.images.bench.clear()
        if self.room.filled:
            self.tools.engine.remove_volume(self.tools.engine.cache_volume(self.claim.app_id))

    def _order(self) -> Order:
        with self.tools.store.transaction() as session:
            jobs.held(session, self.claim)
            app, build = session.get_one(App, self.claim.app_id), session.get_one(Build, self.claim.id)
            source = session.get_one(SourceRow, build.source_id)
            return Order(
                app.name,
                build.stack or app.build_stack or app.stack,
                build.account_id,
                build.account.email,
                source.id,
                source.url,
                source.checksum,
                build.version,
                tuple(build.buildpacks),
                app.cache_generation,
            )

    def _build(self, order: Order) -> Slug:
        tarball = self._tarball(order)
        if order.stack == stacks.CONTAINER:
            return self._build_images(order, Source.inspect(tarball))
        with ThreadPoolExecutor() as beside:
            starting = beside.submit(self._start, order)
            source = Source.inspect(tarball)
            parse_procfile(source.texts.get("Procfile", ""))  # a wrong one is told before the work, not after it
            self._tell_problems(source)
            starting.result()
        with self.room:
            self._compile(order, source)
        with ThreadPoolExecutor() as beside:
            mounting = beside.submit(self._mount)
            result = self._result()
            declared = parse_procfile(result.procfile)
            self.output.say(slugs.discovery(declared, result.process_types, result.buildpacks) + "\n")
            self.output.say("-----> Compressing...\n")
            made = write_layers(self._container.app(), Path(self.folder.name), self.tools.configuration.slug_bytes)
            stack = mounting.result()
        layers = [each.layer for each in made]
        size = sum(layer.size for layer in layers)
        image = slug_image.push(self.tools, self.claim, stack, made)
        self.output.say(f"       Done: {builds.megabytes(size)}\n-----> Launching...\n")
        return Slug(
            id=uuid.uuid4(),
            app_id=self.claim.app_id,
            image=f"{self.tools.registry.address}/{images.app_repository(self.claim.app_id)}@{image}",
            size=size,
            checksum=images.checksum(layers),
            stack=order.stack,
            base=stack.version,
            commit=order.version,
            buildpack_provided_description=", ".join(result.buildpacks) or None,
            process_types=slugs.process_types(declared, result.process_types),
        )

    def _tell_problems(self, source: Source) -> None:
        """What is wrong with an app.json: no build needs it, and what comes of it is made elsewhere. So it goes on."""
        for problem in app_json.problems(source.texts.get(app_json.FILE, "{}")):
            self.output.say(f" !     {app_json.FILE}: {builds.clean(problem)}\n")

    def _build_images(self, order: Order, source: Source) -> Slug:
        self._tell_problems(source)
        # What it needs takes time to import, and most builds do without.
        from dynoform.build.container_build import ContainerBuild

        self.images = work = ContainerBuild(self.tools, self.claim, self.output, self._check, order.generation)
        self._check()  # it was told to end before there was anything to end
        with self.room:
            return work.slug(source, order.version)

    def _check(self) -> None:
        verdict.check(self.keeper, self.room, self.seconds)

    @property
    def _container(self) -> BuildContainer:
        if self.container is None:
            raise UnavailableError("build container", "was not made")
        return self.container

    def _tarball(self, order: Order) -> Path:
        if order.source_url is None:
            return self.tools.uploads.path(order.source_id, Path(self.folder.name))
        path = Path(self.folder.name) / "source"
        self.output.say("-----> Fetching the source\n")
        self.tools.downloader.fetch(order.source_url, path, order.checksum)
        return path

    def _start(self, order: Order) -> None:
        self.container = self._begun()
        if self.container is None:
            # Fetched, where this host has not built it: a new host's first build may come before its shift has done so.
            self.tools.engine.image_id(self.tools.configuration.build_image)
            self.container = self.tools.engine.build_container(
                self.claim.id,
                self.claim.app_id,
                version=order.version,
                generation=order.generation,
                again=self.claim.attempt > 1,
            )
            self.container.start()
        self._check()  # it was told to end before there was anything to end

    def _begun(self) -> BuildContainer | None:
        """The container that the shift's head start has started for this build."""
        return self.tools.head_start.container(self.claim.id) if self.tools.head_start else None

    def _mount(self) -> stack_image.StackImage:
        """Have the stack's layers ready in the app's repository."""
        stack = self.tools.stack_images.get()
        slug_image.mount(self.tools, self.claim, stack)
        return stack

    def _compile(self, order: Order, source: Source) -> None:
        container, config = self._container, self._config()
        self.output.mask(masks.of(config))
        container.give(config, order.buildpacks, source.members(APP))
        for piece in container.output():
            self.output.feed(piece)
        self.output.feed(b"", final=True)

    def _result(self) -> slugs.Result:
        code, out_of_memory = self._container.wait()
        self._check()
        if out_of_memory and code:
            raise verdict.out_of_memory()
        text = self._container.read("/run/dynoform/result.json")
        result = slugs.read_result(text or '{"failure": "the build ended without a result"}')
        if result.failure or code:
            raise BuildRejectedError(result.failure or f"the build ended with code {code}")
        return result

    def _config(self) -> dict[str, str]:
        with self.tools.store.transaction() as session:
            return config_of(session, self.tools.vault, newest_release(session, self.claim.app_id))

    def _release(self, order: Order, slug: Slug) -> Release:
        """Slug, release and the build's end: all or nothing, so a build never makes two releases."""
        self.output.flush()
        with self.tools.store.transaction() as session:
            app = lock_app(session, self.claim.app_id)
            if app is None:
                raise jobs.LeaseLostError(f"app {order.app_name}", "is gone")
            jobs.finish(session, self.claim)
            added = session.merge(slug)
            release = create_release(
                session,
                app,
                description=releases.deployed(order.version),
                account_id=order.account_id,
                slug=added,
                number=self.claim.number,
            )
            build = session.get_one(Build, self.claim.id)
            build.status, build.slug_id, build.release_id = builds.SUCCEEDED, added.id, release.id
            webhooks.build_changed(session, build, builds.PENDING)
            text = builds.released(release.version, self.tools.configuration.web_url(app.name), release.status)
            output.append(session, BuildOutput, build.id, text)
        return release

    def _store_failure(self, reason: str) -> None:
        self.output.flush()
        with self.tools.store.transaction() as session:
            jobs.finish(session, self.claim)
            store.fail(session, session.get_one(Build, self.claim.id), reason)

    def _report(self, event: str, app: str | None, **fields: object) -> None:
        self.tools.journal.info(event, build=self.claim.id, app=app or self.claim.app_id, **fields)


def _explained(error: DynoformError, attempt: int) -> tuple[str, str]:
    """Why a build failed, in one line, and the last line of its output."""
    if isinstance(error, BuildRejectedError):
        return str(error), builds.rejected(error.what)
    if not isinstance(error, UnavailableError):
        return str(error), f" !     {error}\n\n !     Push failed"
    if attempt > BuildJob.attempts:
        last_lines = f" !     {builds.INTERRUPTED.capitalize()}.\n{builds.rejected('the build did not finish')}"
        return builds.INTERRUPTED, last_lines
    return (
        "build: the platform could not finish it — push again",
        " !     Push failed: the platform could not finish the build. Push again.",
    )
