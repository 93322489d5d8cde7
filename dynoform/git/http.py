"""Git's http-backend behind ASGI: one CGI process for each request, both bodies streamed through it.

The protocol is git's own (https://git-scm.com/docs/http-protocol); nothing of it is looked into here.
"""

import asyncio
import re
import uuid
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from starlette.types import Message, Receive, Send

from dynoform.domain import pushes
from dynoform.errors import UnavailableError
from dynoform.git.command import CHUNK, Git
from dynoform.git.hook import Judge, listening
from dynoform.git.repository import Repositories, Repository
from dynoform.journal import Journal

PUSH, FETCH = "git-receive-pack", "git-upload-pack"
_PROTOCOL = re.compile(r"[a-z0-9=:-]{1,100}")
_IDLE_SECONDS = 120
_FETCH_SECONDS = 3600
_PUSH_SECONDS = 4 * 3600
_DRAINED_BYTES = 4 * pushes.MAXIMUM_BYTES
"""How much of a push that git has refused is read and thrown away, so that its client reads why."""
_AT_ONCE = 32
_AT_ONCE_PER_APP = 8
_MAXIMUM_SAID = 2000


@dataclass(frozen=True)
class Call:
    """A request of a git client. ``service`` is ``PUSH`` or ``FETCH``; without ``advertise`` it is the transfer."""

    service: str
    advertise: bool
    headers: Mapping[str, str]
    user: str
    """Who asks; for git's own log."""

    @property
    def variables(self) -> dict[str, str]:
        """The part of CGI's environment (RFC 3875) that comes from the request."""
        variables = {"REMOTE_USER": self.user, "SERVER_PROTOCOL": "HTTP/1.1"}
        if self.advertise:
            variables |= {"REQUEST_METHOD": "GET", "QUERY_STRING": f"service={self.service}"}
        else:
            variables |= {"REQUEST_METHOD": "POST", "QUERY_STRING": ""}
            variables["CONTENT_TYPE"] = f"application/x-{self.service}-request"
            length = self.headers.get("content-length", "")
            if length.isdecimal():
                variables["CONTENT_LENGTH"] = length[:20]
            if self.headers.get("content-encoding") in ("gzip", "x-gzip"):
                variables["HTTP_CONTENT_ENCODING"] = "gzip"
        protocol = self.headers.get("git-protocol", "")
        if _PROTOCOL.fullmatch(protocol):
            variables["GIT_PROTOCOL"] = protocol
        return variables

    @property
    def path(self) -> str:
        """What follows the repository's name."""
        return "info/refs" if self.advertise else self.service


class HttpBackend:
    """Serves all repositories of a folder."""

    def __init__(self, git: Git, journal: Journal) -> None:
        """``journal`` gets what git complains about."""
        self.repositories = Repositories(git)
        self._git = git
        self._journal = journal
        self._running: dict[uuid.UUID, int] = {}

    async def serve(self, app_id: uuid.UUID, call: Call, receive: Receive, send: Send, judge: Judge) -> None:
        """Answer one request; ``judge`` decides about a push.

        Raises ``UnavailableError`` before anything was sent: too much at once, or git does not work.
        """
        with self._slot(app_id):
            repository = await self.repositories.get(app_id)
            repository.point_head(pushes.BRANCHES)
            variables = call.variables | {
                "GIT_PROJECT_ROOT": str(repository.path.parent),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": f"/{repository.name}/{call.path}",
            }
            client = _Client(receive, send)
            if call.service == PUSH and not call.advertise:
                async with _writing(repository, judge) as (hook, files):
                    await self._exchange(client, variables | {"DYNOFORM_HOOK": str(hook)}, files, _PUSH_SECONDS)
            else:
                await self._exchange(client, variables, (), _FETCH_SECONDS)

    async def _exchange(
        self, client: "_Client", variables: Mapping[str, str], files: tuple[int, ...], seconds: float
    ) -> None:
        started = self._git.started("http-backend", more=variables, stdin=PIPE, files=files)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), started as process:
                feeding = asyncio.create_task(client.feed(process))
                complaining = asyncio.create_task(self._complain(process))
                try:
                    await client.answer(process, feeding)
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)
                await complaining
                await process.wait()

    async def _complain(self, process: Process) -> None:
        said = b""
        while piece := await _stream(process.stderr).read(CHUNK):
            said = (said + piece)[-_MAXIMUM_SAID:]
        if said:
            self._journal.warning("git", said=said.decode(errors="replace").strip())

    @contextmanager
    def _slot(self, app_id: uuid.UUID) -> Iterator[None]:
        own = self._running.get(app_id, 0)
        if own >= _AT_ONCE_PER_APP or sum(self._running.values()) >= _AT_ONCE:
            raise UnavailableError("Too many pushes and fetches are under way", next_step="try again in a minute")
        self._running[app_id] = own + 1
        try:
            yield
        finally:
            self._running[app_id] -= 1
            if not self._running[app_id]:
                del self._running[app_id]


class _Client:
    """The other end of the request. One that has gone away is no error: git is read to its end all the same.

    So a build goes on, as Heroku's does, when its pusher presses Ctrl-C.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._gone = False

    async def feed(self, process: Process) -> None:
        """Pass the request's body on to git, which may end before it does."""
        stdin, seen, more = process.stdin, 0, True
        assert stdin is not None  # noqa: S101 - started with a pipe
        while more and seen <= _DRAINED_BYTES:
            try:
                async with asyncio.timeout(_IDLE_SECONDS):
                    message = await self._receive()
            except TimeoutError:
                break
            if message["type"] == "http.disconnect":
                break
            more = message.get("more_body", False)
            body = message.get("body", b"")
            seen += len(body)
            if not stdin.is_closing():
                with suppress(ConnectionError):
                    stdin.write(body)
                    await stdin.drain()
        self._gone = more
        stdin.close()

    async def answer(self, process: Process, feeding: "asyncio.Task[None]") -> None:
        """Pass git's answer on; one that breaks off has no end. Raises ``UnavailableError`` when there is none."""
        stdout = _stream(process.stdout)
        try:
            head = await stdout.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            raise UnavailableError("git", "gave no answer", "try again") from None
        # Git writes its header at once; held back until there is something to say, so that the client goes on sending.
        first = piece = await stdout.read(CHUNK)
        await self._pass_on(_start(head))
        while piece:
            await self._pass_on({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await stdout.read(CHUNK)
        await feeding
        if first and await process.wait():
            # Not the end of an answer: a client that was told so would wait for the rest for ever.
            return
        await self._pass_on({"type": "http.response.body", "body": b""})

    async def _pass_on(self, message: Message) -> None:
        if self._gone:
            return
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                await self._send(message)
        except TimeoutError:
            self._gone = True


@asynccontextmanager
async def _writing(repository: Repository, judge: Judge) -> AsyncIterator[tuple[int, tuple[int, ...]]]:
    async with repository.presence() as presence, listening(repository, judge) as (hook, turn):
        yield hook, (presence, hook, turn)


def _start(head: bytes) -> Message:
    status, headers = 200, []
    for line in head.decode("latin-1").splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        elif name:
            headers.append((name.strip().lower().encode("latin-1"), value.strip().encode("latin-1")))
    return {"type": "http.response.start", "status": status, "headers": headers}


def _stream(stream: asyncio.StreamReader | None) -> asyncio.StreamReader:
    assert stream is not None  # noqa: S101 - every process here is started with pipes
    return stream
