"""One build, from its source to its release."""

import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from dynoform.build import queue, stack_image
from dynoform.build.container import BuildContainer, Engine
from dynoform.build.output import Output
from dynoform.build.registry import Registry
from dynoform.build.slug import SlugLayer
from dynoform.build.source import Source
from dynoform.configuration import Configuration
from dynoform.domain import builds, images, releases, slugs, stacks
from dynoform.domain.process_types import parse_procfile
from dynoform.errors import DynoformError, InvalidInputError, UnavailableError
from dynoform.journal import Journal
from dynoform.logplex_client import LogplexClient
from dynoform.store.releases import config_of, create_release, current_release, lock_app
from dynoform.store.secrets import Vault
from dynoform.store.session import Store, attempts
from dynoform.store.tables import Release, Slug

_STORE_SECONDS = 60
T = TypeVar("T")


@dataclass(frozen=True)
class Tools:
    """What every build of a builder works with."""

    configuration: Configuration
    store: Store
    vault: Vault
    engine: Engine
    registry: Registry
    stack_images: stack_image.StackImages
    logs: LogplexClient
    journal: Journal


class BuildRejectedError(InvalidInputError):
    """The buildpacks gave up, and have said why; ``what`` completes "Push rejected, …"."""


@dataclass
class Job:
    """The work on one claim. A slug and a release come to be in one transaction at its end, or not at all."""

    tools: Tools
    claim: queue.Claim
    output: Output = field(init=False)
    container: BuildContainer | None = None
    keeper: queue.Keeper = field(init=False)

    def run(self) -> None:
        """Build, and leave the build succeeded, failed, or free for another attempt.

        Raises nothing of ours; ``SystemExit`` (this builder stops) frees the build without counting the attempt.
        """
        self.output = Output(self.tools.store, self.claim)
        self.keeper = queue.Keeper(self.tools.store, self.claim, self._end)
        counted = True
        try:
            with self.keeper, self.output:
                self._run()
        except queue.LeaseLostError:
            self.tools.journal.warning("build given up", build=self.claim.build_id, why="no longer ours")
        except UnavailableError as error:
            self.tools.journal.warning("build interrupted", build=self.claim.build_id, error=error)
        except SystemExit:
            counted = False
            raise
        finally:
            self._leave(counted=counted)

    def _run(self) -> None:
        self._log(f"Build started by user {self.claim.email}")
        if self.claim.attempt > 1:
            self.output.say(" !     The builder was interrupted. Building again.\n")
        try:
            self._succeed(*self._build())
        except BuildRejectedError as error:
            self._fail(error, builds.rejected(error.what))
        except UnavailableError:
            if not builds.out_of_attempts(self.claim.attempt):
                raise
            self._fail(
                InvalidInputError("build", "the platform could not finish it", "push again"),
                " !     Push failed: the platform could not finish the build. Push again.",
            )
        except DynoformError as error:
            if isinstance(error, queue.LeaseLostError):
                raise
            self._fail(error, f" !     {error}\n\n !     Push failed")

    def _build(self) -> tuple[Slug, slugs.Result]:
        if self.claim.stack == stacks.CONTAINER:
            raise InvalidInputError(
                "an app on the stack container",
                "runs images, which the platform does not build",
                f"use heroku container:push and container:release, or heroku stack:set {stacks.DEFAULT} and push again",
            )
        source = Source.inspect(self.tools.configuration.sources / str(self.claim.source_id))
        parse_procfile(source.texts.get("Procfile", ""))  # a wrong one is told before the work, not after it
        result = self._compile(source)
        declared = parse_procfile(self._container.read("/app/Procfile") or "")
        self.output.say(slugs.discovery(declared, result.process_types, result.buildpacks) + "\n")
        layer, image = self._push(self.tools.stack_images.get())
        slug = Slug(
            id=uuid.uuid4(),
            app_id=self.claim.app_id,
            image=f"{self.tools.registry.address}/{images.app_repository(self.claim.app_id)}@{image}",
            size=layer.size,
            checksum=f"SHA256:{layer.digest.removeprefix('sha256:')}",
            stack=self.claim.stack,
            commit=self.claim.version,
            buildpack_provided_description=", ".join(result.buildpacks) or None,
            process_types=slugs.process_types(declared, result.process_types),
        )
        return slug, result

    @property
    def _container(self) -> BuildContainer:
        if self.container is None:
            raise UnavailableError("build container", "was not made")
        return self.container

    def _compile(self, source: Source) -> slugs.Result:
        environment = {"SOURCE_VERSION": self.claim.version or ""}
        self.container = self.tools.engine.build_container(self.claim.build_id, self.claim.app_id, environment)
        self.container.put_config(self._config())
        self.container.put("/app", source.stream())
        for piece in self.container.run():
            self.output.feed(piece)
        self.output.feed(b"", final=True)
        code, out_of_memory = self.container.wait()
        self._check_keeper()
        if out_of_memory and code:
            raise BuildRejectedError(f"the build needed more than {builds.megabytes(builds.MEMORY_BYTES)} of memory")
        text = self.container.read("/run/dynoform/result.json")
        result = slugs.read_result(text or '{"failure": "the build ended without a result"}')
        if result.failure or code:
            raise BuildRejectedError(result.failure or f"the build ended with code {code}")
        return result

    def _check_keeper(self) -> None:
        if self.keeper.lost:
            raise queue.LeaseLostError(f"build {self.claim.build_id}", "is no longer this builder's")
        if self.keeper.reason:
            raise BuildRejectedError(f"the build {self.keeper.reason}")

    def _config(self) -> dict[str, str]:
        with self.tools.store.transaction() as session:
            return config_of(session, self.tools.vault, current_release(session, self.claim.app_id))

    def _push(self, stack: stack_image.StackImage) -> tuple[images.Layer, str]:
        self.output.say("-----> Compressing...\n")
        registry, repository = self.tools.registry, images.app_repository(self.claim.app_id)
        for digest in stack.layers:
            registry.mount(repository, digest, stack_image.REPOSITORY)
        layer = registry.upload(repository, self._layer)
        manifest = images.with_slug(stack.manifest, stack.config, layer)
        digest = registry.push(repository, str(self.claim.build_id), manifest)
        self.output.say(f"       Done: {builds.megabytes(layer.size)}\n-----> Launching...\n")
        return layer, digest

    def _layer(self) -> tuple[Iterable[bytes], Callable[[], images.Layer]]:
        stream = SlugLayer(self._container.app())
        return stream, lambda: stream.layer

    def _succeed(self, slug: Slug, result: slugs.Result) -> None:
        self._check_keeper()
        release = self._until_stored(lambda: self._release(slug))
        self._log(releases.by_user(release.description, self.claim.email))
        self._log(releases.created_by(release.version, self.claim.email))
        self._log("Build succeeded")
        self.tools.journal.info(
            "build succeeded", build=self.claim.build_id, app=self.claim.app_name, release=release.version
        )

    def _release(self, slug: Slug) -> Release:
        """Slug, release and the build's end: all or nothing, so a build never makes two releases."""
        self.output.flush()
        with self.tools.store.transaction() as session:
            app = lock_app(session, self.claim.app_id)
            if app is None:
                raise queue.LeaseLostError(f"app {self.claim.app_name}", "is gone")
            build = queue.held(session, self.claim)
            added = session.merge(slug)
            release = create_release(
                session,
                app,
                description=releases.deployed(self.claim.version),
                account_id=self.claim.account_id,
                slug=added,
            )
            build.status, build.slug_id, build.release_id = builds.SUCCEEDED, added.id, release.id
            build.lease_holder = build.lease_expires_at = None
            url = self.tools.configuration.web_url(app.name)
            text = f"       Released {releases.name(release.version)}\n       {url} deployed to Dynoform\n\n"
            queue.say(session, build.id, text)
        return release

    def _fail(self, error: DynoformError, last_line: str) -> None:
        self.output.say(f"{last_line}\n")
        self._until_stored(lambda: self._store_failure(str(error)))
        self._log("Build failed -- check your build output")
        self.tools.journal.info("build failed", build=self.claim.build_id, app=self.claim.app_name, reason=error)

    def _store_failure(self, reason: str) -> None:
        self.output.flush()
        with self.tools.store.transaction() as session:
            queue.fail(session, queue.held(session, self.claim), reason)

    def _until_stored(self, action: Callable[[], T]) -> T:
        failure: DynoformError | None = None
        for _ in attempts(_STORE_SECONDS):
            try:
                return action()
            except queue.LeaseLostError:
                raise
            except DynoformError as error:
                failure = error
        raise UnavailableError("store", "the build's end could not be written down") from failure

    def _end(self) -> None:
        if self.container is not None:
            self.container.kill()

    def _leave(self, *, counted: bool) -> None:
        """Free the build if it is still ours, and take the container away, whatever happened."""
        with suppress(DynoformError):  # finished, or lost, or the store is away: then the lease runs out
            queue.give_back(self.tools.store, self.claim, counted=counted)
        try:
            if self.container is not None:
                self.container.remove()
        except DynoformError as error:
            self.tools.journal.warning("build container left behind", build=self.claim.build_id, error=error)

    def _log(self, line: str) -> None:
        self.tools.logs.line(self.claim.app_id, "app", "api", line)
