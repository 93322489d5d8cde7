"""The ``LanguageRuntime`` service: what the engine asks of a language, answered for Python."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2 as messages
from pulumi.runtime.proto import plugin_pb2
from pulumi.runtime.proto.language_pb2_grpc import LanguageRuntimeServicer

from providers.python_language import packages, program
from providers.python_language.children import Children
from providers.python_language.execute import ALREADY_SHOWN
from providers.python_language.program import Launch, ProgramError

VERSION = "0.1.0"
QUERY_SECONDS = 60


def _options(info: messages.ProgramInfo) -> dict[str, object]:
    options: dict[str, object] = MessageToDict(info.options)
    return options


def _python(info: messages.ProgramInfo) -> Path:
    return program.interpreter(Path(info.root_directory or "."), _options(info))


def _asked(python: Path, question: str) -> list[dict[str, str]]:
    """`packages.py`'s answer for the virtualenv of `python`, in this process when it is our own."""
    if python.parent == Path(sys.executable).parent:
        return packages.answer(question)
    words = [str(python), packages.__file__, question]
    done = subprocess.run(words, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)  # noqa: S603 ours
    found: list[dict[str, str]] = json.loads(done.stdout)
    return found


@contextmanager
def _refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns a `ProgramError` into the call's status."""
    try:
        yield
    except ProgramError as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


def _unserved(method: str) -> Any:
    """A method that says which call it is, and why there is no answer."""

    def refuse(_self: Any, _request: Any, context: grpc.ServicerContext) -> NoReturn:
        why = "this language host runs programs and plugins, it generates no code"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{method}: {why} — use the one that comes with Pulumi's own CLI")
        raise AssertionError("abort raises")

    return refuse


class LanguageHost(LanguageRuntimeServicer):
    """Answers for Python. Programs and plugins run as child processes; `stop` ends them all."""

    # ruff: noqa: N802 method names are the protocol's

    def __init__(self, engine: str) -> None:
        """`engine` is the engine's address, ``host:port``; a handshake may bring another."""
        self._engine = engine
        self._children = Children()

    def stop(self) -> None:
        """Ends every program and plugin that was started."""
        self._children.stop()

    def Handshake(
        self, request: messages.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> messages.LanguageHandshakeResponse:
        """Takes the engine's address."""
        self._engine = request.engine_address or self._engine
        return messages.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Empty, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """This plugin's version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def About(self, request: messages.AboutRequest, context: grpc.ServicerContext) -> messages.AboutResponse:
        """The interpreter and its version, for ``pulumi about``."""
        with _refusals(context):
            python = _python(request.info)
        return messages.AboutResponse(executable=str(python), version=platform.python_version())

    def GetRequiredPackages(
        self, request: messages.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> messages.GetRequiredPackagesResponse:
        """Resource plugins that the installed SDKs name, so that the engine can look for them before the run."""
        with _refusals(context):
            found = _asked(_python(request.info), "plugins")
        wanted = [
            plugin_pb2.PackageDependency(
                kind="resource", name=item["name"], version=item["version"], server=item["server"]
            )
            for item in found
        ]
        return messages.GetRequiredPackagesResponse(packages=wanted)

    def GetRequiredPlugins(
        self, request: messages.GetRequiredPluginsRequest, context: grpc.ServicerContext
    ) -> messages.GetRequiredPluginsResponse:
        """The same for engines that do not ask for packages."""
        with _refusals(context):
            found = _asked(_python(request.info), "plugins")
        wanted = [
            plugin_pb2.PluginDependency(
                kind="resource", name=item["name"], version=item["version"], server=item["server"]
            )
            for item in found
        ]
        return messages.GetRequiredPluginsResponse(plugins=wanted)

    def GetProgramDependencies(
        self, request: messages.GetProgramDependenciesRequest, context: grpc.ServicerContext
    ) -> messages.GetProgramDependenciesResponse:
        """Every distribution in the program's virtualenv: pip does not record which were asked for directly."""
        with _refusals(context):
            found = _asked(_python(request.info), "distributions")
        return messages.GetProgramDependenciesResponse(dependencies=[messages.DependencyInfo(**item) for item in found])

    def Run(self, request: messages.RunRequest, context: grpc.ServicerContext) -> messages.RunResponse:
        """Runs the program to its end. ``bail`` says that the program has shown why it failed."""
        try:
            launch = self._program(request)
        except ProgramError as error:
            return messages.RunResponse(error=str(error))
        code = self._children.run(launch)
        if code == 0:
            return messages.RunResponse()
        if code == ALREADY_SHOWN:
            return messages.RunResponse(bail=True)
        reason = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return messages.RunResponse(error=f"Program {reason}")

    def _program(self, request: messages.RunRequest) -> Launch:
        python = _python(request.info)
        directory = Path(request.info.program_directory or request.pwd or ".")
        fields = {
            "monitor": request.monitor_address,
            "engine": self._engine,
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "root_directory": request.info.root_directory,
            "pwd": request.pwd,
            "parallel": str(request.parallel),
            "dry_run": "true" if request.dryRun else "false",
            "parent": str(os.getpid()),
        }
        words = program.run_words(fields, str(directory / (request.info.entry_point or ".")), list(request.args))
        env = program.environment(python, os.environ)
        env.update(program.configuration(dict(request.config), list(request.configSecretKeys)))
        return Launch([str(python), *words], directory, env)

    def RunPlugin(
        self, request: messages.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.RunPluginResponse]:
        """Runs a plugin that is written in Python, its output streamed, until it ends or the caller goes away."""
        with _refusals(context):
            python = _python(request.info)
        given = dict(word.split("=", 1) for word in request.env)
        env = program.environment(python, {**os.environ, **given})
        place = request.info.program_directory or request.program
        launch = Launch([str(python), place, *request.args], Path(request.pwd or "."), env)
        for name, data in self._children.stream(launch):
            yield messages.RunPluginResponse(**{name: data})  # type: ignore[arg-type]

    def InstallDependencies(
        self, request: messages.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[messages.InstallDependenciesResponse]:
        """``pip install -r requirements.txt`` into the project's virtualenv, which is made if it is not there."""
        requirements = Path(request.directory) / "requirements.txt"
        if not requirements.exists():
            yield messages.InstallDependenciesResponse(stdout=b"No requirements.txt: nothing to install.\n")
            return
        root = Path(request.info.root_directory or request.directory)
        virtualenv = _options(request.info).get("virtualenv")
        if virtualenv and not (root / str(virtualenv) / "bin" / "python").exists():
            make = [sys.executable, "-m", "venv", str(root / str(virtualenv))]
            yield from self._install(Launch(make, root, os.environ), context)
        with _refusals(context):
            python = _python(request.info)
        words = [str(python), "-m", "pip", "install", "-r", str(requirements)]
        yield from self._install(Launch(words, root, program.environment(python, os.environ)), context)

    def _install(self, launch: Launch, context: grpc.ServicerContext) -> Iterator[messages.InstallDependenciesResponse]:
        for name, data in self._children.stream(launch):
            if name != "exitcode":
                yield messages.InstallDependenciesResponse(**{name: data})  # type: ignore[arg-type]
            elif data:
                words = " ".join(launch.argv)
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{words}: exited with code {data!r}")

    def RuntimeOptionsPrompts(
        self, request: messages.RuntimeOptionsRequest, context: grpc.ServicerContext
    ) -> messages.RuntimeOptionsResponse:
        """No questions for ``pulumi new``: pip is the one tool chain."""
        return messages.RuntimeOptionsResponse()

    def Template(self, request: messages.TemplateRequest, context: grpc.ServicerContext) -> messages.TemplateResponse:
        """Templates are used as they are."""
        return messages.TemplateResponse()

    def Cancel(self, request: Empty, context: grpc.ServicerContext) -> Empty:
        """Ends what runs; the calls that started it then answer with the signal."""
        self._children.stop()
        return Empty()

    GenerateProgram = _unserved("GenerateProgram")
    GenerateProject = _unserved("GenerateProject")
    GeneratePackage = _unserved("GeneratePackage")
    Pack = _unserved("Pack")
    Link = _unserved("Link")
