"""An app that Cloud Native Buildpacks build, by the program ``pack`` where a builder has it on its PATH.

https://buildpacks.io/docs/for-platform-operators/how-to/integrate-ci/pack/cli/pack_build/

What ``pack`` runs on the engine has a build's limits (``dynoform.build.limited_engine``). Of the builder image it runs
the buildpacks. What needs the engine itself, to write the app's image, does the project's lifecycle image, unless
``pack`` trusts the builder: then all is done in one container of that.
"""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from dynoform.build.image_build import Built, Listener
from dynoform.build.limited_engine import ENGINE, LimitedEngine, limits
from dynoform.build.source import Source
from dynoform.build.verdict import BuildRejectedError
from dynoform.build.workbench import CAPABILITIES, Workbench
from dynoform.domain import cloud_native
from dynoform.errors import UnavailableError

PROGRAM = "pack"
_PIECE = 64 * 1024


def program() -> str | None:
    """Where ``pack`` is; None where it is not installed."""
    return shutil.which(PROGRAM)


class PackBuild:
    """The work on one app. ``check`` raises when it has to end; ``network`` is that of the build's containers."""

    def __init__(
        self, bench: Workbench, pack: str, network: str, folder: Path, listener: Listener, check: Callable[[], None]
    ) -> None:
        """``pack`` is the program; the source and what it notes for itself are in the ``folder`` while it runs."""
        self._bench, self._pack, self._network = bench, pack, network
        self._folder, self._listener, self._check = folder, listener, check

    def build(self, source: Source, engine: Path = ENGINE) -> tuple[Built, dict[str, str]]:
        """The image, and the command of each process type.

        Raises ``InvalidInputError`` with what is wrong in project.toml, ``BuildRejectedError`` for a build that failed,
        ``UnavailableError``.
        """
        builder = cloud_native.builder(source.texts[cloud_native.FILE])
        self._bench.check_place(builder)
        app, home, name = self._folder / "app", self._folder / "pack", self._bench.image_name()
        _unpack(source, app)
        home.mkdir()
        build_cache, launch_cache = self._bench.caches("_launch")
        command = [self._pack, "build", name, "--path", str(app), "--descriptor", str(app / cloud_native.FILE)]
        command += ["--builder", builder.full, "--pull-policy", "always", "--network", self._network]
        command += ["--cache", f"type=build;format=volume;name={build_cache}"]
        command += ["--cache", f"type=launch;format=volume;name={launch_cache}", "--no-color"]
        with LimitedEngine(self._folder, self._bench.labels, limits(CAPABILITIES), engine) as limited:
            own = {"DOCKER_HOST": limited.address, "PACK_HOME": str(home), "HOME": str(home)}
            self._run(command, {"PATH": os.environ.get("PATH", os.defpath), **own})
        settings = self._bench.settings(name)
        return Built(name, settings, self._bench.identity(name)), cloud_native.processes(settings.labels)

    def _run(self, command: list[str], environment: dict[str, str]) -> None:
        try:
            running = subprocess.Popen(  # noqa: S603 - words of ours, and a name that was checked
                command,
                env=environment,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise UnavailableError(PROGRAM, f"cannot be started ({error.strerror})", "install it anew") from error
        with running:
            try:
                self._bench.runs(running)
                while running.stdout and (piece := os.read(running.stdout.fileno(), _PIECE)):
                    self._listener.feed(piece)
                self._listener.feed(b"", final=True)
            except BaseException:
                running.kill()
                raise
        self._check()
        if running.returncode:
            raise BuildRejectedError(f"{PROGRAM} ended with code {running.returncode}")


def _unpack(source: Source, folder: Path) -> None:
    """The source's files in a new folder: it was looked through, and is held to its folder once more."""
    folder.mkdir()
    try:
        for archive, member, name in source.found():
            if name:
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise UnavailableError("source", f"cannot be unpacked ({error})") from error
