"""Where the command of a one-off dyno runs: in a container of its own, or in that of a dyno that is there.

A container of its own is started before its command may begin: it waits for its config vars. They come in through the
engine and stay in memory, never in the container's description, nor on a disk.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from dynoform.domain import dyno_container, one_off
from dynoform.domain.dyno_container import DYNO_ID_LABEL, DYNO_USER, RUN_ID_LABEL, SECRETS, STACK_LABEL
from dynoform.errors import ConflictError, NotFoundError, UnavailableError
from dynoform.run.engine import SECONDS, Engine, Stream
from dynoform.run.rows import Run

PULL_SECONDS = 600.0
_LOOK_SECONDS = 0.3
_RESIZE_SECONDS = (0.02, 0.05, 0.1)
"""The engine answers before the process is there, and a terminal that is not there yet has no size."""
RUN_VARIABLE = "DYNOFORM_RUN_ID"
"""By this variable the processes of a command inside a dyno are told from the dyno's own."""
_USER = f"{DYNO_USER}:{DYNO_USER}"
_SIGNAL_ALL = "kill -s {signal} -- -1"
_SIGNAL_RUN = (
    f'for p in /proc/[0-9]*; do if grep -qsz "^{RUN_VARIABLE}={{run}}$" "$p/environ"; '
    "then kill -s {signal} ${{p#/proc/}}; fi; done"
)


class Place(Protocol):
    """What a session does with the place where its command runs. Calls raise what ``Engine``'s do."""

    async def prepare(self) -> None:
        """Make everything ready that can be before somebody has attached."""

    async def begin(self, config: Mapping[str, str]) -> Stream | None:
        """Let the command begin, with these config vars; the connection to it if somebody attaches."""

    async def wait(self) -> int:
        """The command's exit code, when it has ended."""

    async def signal(self, name: str) -> None:
        """Send a signal, ``TERM`` for instance, to all its processes."""

    async def kill(self) -> None:
        """End all its processes now."""

    async def remove(self) -> None:
        """Leave nothing behind; it may be gone already."""


def description(stack: str, network: str, run: Run) -> dict[str, Any]:
    """The container of a one-off dyno, as the engine's API wants it. Raises ``InvalidInputError`` for a bad size."""
    attached = run.digest is not None
    limits = dyno_container.limits(run.size)
    logged = {"Type": dyno_container.LOG_DRIVER, "Config": dyno_container.LOG_OPTIONS}
    labels = dyno_container.labels(stack, run.app_id, run.name, run.version, run.size)
    return {
        "Image": run.image,
        "Entrypoint": dyno_container.WAIT,
        "Cmd": _command(run),
        "Env": dyno_container.environment(run.name),
        "Labels": labels | dyno_container.UNSERVED | {RUN_ID_LABEL: str(run.id)},
        "User": _USER,
        "Tty": run.tty,
        "OpenStdin": attached,
        "StdinOnce": attached,
        "HostConfig": {
            "Init": True,
            "CapDrop": ["ALL"],
            "NetworkMode": network,
            "SecurityOpt": [dyno_container.NO_NEW_PRIVILEGES],
            "OomScoreAdj": dyno_container.OOM_SCORE,
            **limits.container,
            # What is attached is seen by who attaches, and by nobody else.
            "LogConfig": {"Type": "none"} if attached else logged,
            "Tmpfs": {SECRETS: dyno_container.SECRETS_OPTIONS},
        },
    }


def _command(run: Run) -> list[str]:
    # What somebody is attached to has its terminal and its input for itself, without a shell beside it.
    words = launcher(run) if run.digest else dyno_container.supervised(launcher(run))
    return [*words, one_off.expand(run.command, run.process_types or {})]


def launcher(run: Run) -> list[str]:
    """The program, with its first words, that gives a command the app's config vars."""
    return dyno_container.launcher(run.name, own_image=run.own_image)


class OwnContainer:
    """A container of its own."""

    def __init__(self, engine: Engine, stack: str, network: str, run: Run, terminal: tuple[int, int] | None) -> None:
        """``network`` is the dynos' bridge, ``terminal`` the client's rows and columns."""
        self._engine, self._run, self._terminal = engine, run, terminal
        self._description = description(stack, network, run)
        self._path = f"/containers/{stack}_run_{run.id}"
        self._stream: Stream | None = None

    async def prepare(self) -> None:
        """Create and start it, waiting for its config vars."""
        await self.remove()
        if not self._run.image:
            raise ConflictError(f"dyno {self._run.name}", "its release has no slug any more", "deploy the app anew")
        try:
            await self._create()
        except NotFoundError:
            await self._pull(self._run.image)
            await self._create()
        if self._run.digest:
            path = f"{self._path}/attach?stream=1&stdin=1&stdout=1&stderr=1"
            self._stream = await self._engine.stream(path, tty=self._run.tty)
        await self._engine.call("POST", f"{self._path}/start")
        if self._run.tty and self._terminal:
            rows, columns = self._terminal
            await self._engine.call("POST", f"{self._path}/resize", query={"h": str(rows), "w": str(columns)})

    async def begin(self, config: Mapping[str, str]) -> Stream | None:
        """Hand the config vars over."""
        code = await run_in(self._engine, self._path, dyno_container.TAKE, dyno_container.config_file(config))
        if code:
            raise UnavailableError(f"dyno {self._run.name}", f"does not take its config vars (exit code {code})")
        return self._stream

    async def wait(self) -> int:
        """The container's exit code."""
        answer = await self._engine.call("POST", f"{self._path}/wait", seconds=None)
        return int(answer["StatusCode"])

    async def signal(self, name: str) -> None:
        """Send it from within, as the engine signals one process alone."""
        with suppress(NotFoundError, ConflictError):  # it has ended
            await run_in(self._engine, self._path, _SIGNAL_ALL.format(signal=name))

    async def kill(self) -> None:
        """Kill the container."""
        with suppress(NotFoundError, ConflictError):
            await self._engine.call("POST", f"{self._path}/kill")

    async def remove(self) -> None:
        """Remove the container."""
        await remove(self._engine, self._path)

    async def _create(self) -> None:
        query = {"name": self._path.removeprefix("/containers/")}
        await self._engine.call("POST", "/containers/create", self._description, query)

    async def _pull(self, image: str) -> None:
        repository, _, digest = image.partition("@")
        query = {"fromImage": repository, "tag": digest}
        await self._engine.call("POST", "/images/create", query=query, seconds=PULL_SECONDS)


@dataclass(frozen=True)
class Command:
    """What runs inside a dyno: a program with its arguments, its own variables, the client's rows and columns."""

    words: Sequence[str]
    variables: Mapping[str, str]
    terminal: tuple[int, int] | None

    @classmethod
    def of(cls, run: Run, variables: Mapping[str, str]) -> "Command":
        """What a row asks for."""
        return cls(_command(run), variables, one_off.terminal(variables))


class InsideDyno:
    """The container of a formation dyno.

    A command whose agent was killed cannot be waited for any more, only removed.
    """

    def __init__(self, engine: Engine, stack: str, run: Run, command: Command | None) -> None:
        """``command`` has to be there before ``prepare``."""
        self._engine, self._stack, self._run = engine, stack, run
        self.command = command
        self._exec = ""

    async def prepare(self) -> None:
        """Describe the command to the engine."""
        assert self.command is not None  # noqa: S101 - the session's order
        variables = {**self.command.variables, RUN_VARIABLE: str(self._run.id)}
        body = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": self._run.tty,
            "User": _USER,
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "Cmd": [*self.command.words],
        }
        made = await self._engine.call("POST", f"{await self._container()}/exec", body)
        self._exec = f"/exec/{made['Id']}"

    async def begin(self, config: Mapping[str, str]) -> Stream:
        """Start it; the dyno has the config vars."""
        body = {"Detach": False, "Tty": self._run.tty}
        stream = await self._engine.stream(f"{self._exec}/start", body, tty=self._run.tty)
        if self._run.tty and self.command and self.command.terminal:
            await self.resize(*self.command.terminal)
        return stream

    async def resize(self, rows: int, columns: int) -> None:
        """Tell the terminal its size, if the command is there and has one."""
        for seconds in (*_RESIZE_SECONDS, None):
            try:
                await self._engine.call("POST", f"{self._exec}/resize", query={"h": str(rows), "w": str(columns)})
            except (ConflictError, NotFoundError, UnavailableError):  # not quite begun, or ended
                if seconds is not None:
                    await asyncio.sleep(seconds)
            else:
                return

    async def wait(self) -> int:
        """The command's exit code; the engine has to be asked again and again for it."""
        if not self._exec:
            raise NotFoundError(f"command in dyno {self._run.name}", "was begun by another agent")
        while True:
            found = await self._engine.call("GET", f"{self._exec}/json")
            if found["ExitCode"] is not None and not found["Running"]:
                return int(found["ExitCode"])
            await asyncio.sleep(_LOOK_SECONDS)

    async def signal(self, name: str) -> None:
        """Send it to all processes that have our variable."""
        with suppress(NotFoundError, ConflictError):
            await run_in(self._engine, await self._container(), _SIGNAL_RUN.format(run=self._run.id, signal=name))

    async def kill(self) -> None:
        """Kill those processes; the dyno's own go on."""
        await self.signal("KILL")

    async def remove(self) -> None:
        """Leave no process behind."""
        await self.kill()

    async def _container(self) -> str:
        labels = [f"{STACK_LABEL}={self._stack}", f"{DYNO_ID_LABEL}={self._run.inside_id}"]
        query = {"filters": json.dumps({"label": labels, "status": ["running"]})}
        listed = await self._engine.call("GET", "/containers/json", query=query)
        # A one-off dyno may have the label from its image.
        found = [each for each in listed if RUN_ID_LABEL not in each["Labels"]]
        if not found:
            raise NotFoundError(f"dyno {self._run.name}", "has no container on this host")
        return f"/containers/{found[0]['Id']}"


async def run_in(engine: Engine, container: str, script: str, data: bytes = b"") -> int:
    """Run a few lines of shell in a container as the dyno's user, with ``data`` as input; its exit code."""
    body = {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "User": _USER,
        "Cmd": ["/bin/sh", "-c", script],
    }
    path = f"/exec/{(await engine.call('POST', f'{container}/exec', body))['Id']}"
    stream = await engine.stream(f"{path}/start", {"Detach": False, "Tty": False}, tty=False)
    try:
        async with asyncio.timeout(SECONDS):
            await stream.write(data)
            stream.write_eof()
            while await stream.read():
                pass
    except (OSError, TimeoutError) as error:
        raise UnavailableError(f"engine: {path}", str(error) or "did not end in time") from error
    finally:
        stream.close()
    return int((await engine.call("GET", f"{path}/json"))["ExitCode"] or 0)


async def remove(engine: Engine, container: str) -> None:
    """Remove a container, running or not; it may be gone already, or be on its way out."""
    with suppress(NotFoundError, ConflictError):
        await engine.call("DELETE", container, query={"force": "1", "v": "1"})
