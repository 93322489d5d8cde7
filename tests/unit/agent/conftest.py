"""The store for the agent's tests, and an engine that says what a test tells it to."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.store_fixtures import configuration, migrated, store

__all__ = ["configuration", "migrated", "store"]


@dataclass
class ScriptedEngine:
    """What the engine's API answers, over a real socket, and what it was asked to do."""

    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: ``Labels``, ``State`` as a list shows them, and under ``described`` what inspecting tells."""
    past: list[dict[str, Any]] = field(default_factory=list)
    """Events that are still remembered."""
    coming: list[dict[str, Any]] = field(default_factory=list)
    """Events of a stream, which then ends."""
    stats: dict[str, Any] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
    """Name → how the removal is answered: 204, or 409 the first time for one in use."""
    done: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, target, _ = head.split(" ", 2)
        length = int(found[1]) if (found := re.search(r"Content-Length: (\d+)", head)) else 0
        body = await reader.readexactly(length)
        status, answer = self._answer(method, target.removeprefix("/v1.41"), json.loads(body) if body else None)
        writer.write(f"HTTP/1.0 {status} x\r\n\r\n".encode() + answer)
        await writer.drain()
        writer.close()

    def _answer(self, method: str, target: str, body: Any) -> tuple[int, bytes]:
        url = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/events":
            events = self.past if "until" in query else self.coming
            return 200, b"".join(json.dumps(event).encode() + b"\n" for event in events)
        if url.path == "/containers/json":
            wanted = json.loads(query["filters"])["status"]
            listed = [{"Id": key, **each} for key, each in self.containers.items() if each["State"] in wanted]
            return 200, json.dumps(listed).encode()
        if url.path == "/info":
            return 200, json.dumps({"ServerVersion": "20.10.24", "Swarm": {"NodeID": "n0"}}).encode()
        if method == "DELETE":
            name = url.path.removeprefix("/volumes/")
            status = self.volumes.pop(name, 404)
            if status == 409:
                self.volumes[name] = 204
            return status, b'{"message": "volume"}' if status >= 400 else b""
        _, _, container, verb = url.path.split("/")
        if container not in self.containers:
            return 404, b'{"message": "No such container"}'
        if method == "POST":
            self.done.append(f"{verb} {container}")
            self.bodies.append(body)
            return 200, b""
        return 200, json.dumps(self.stats if verb == "stats" else self.containers[container]["described"]).encode()

    @asynccontextmanager
    async def serving(self, path: Path) -> AsyncIterator[None]:
        """Answer at this socket."""
        server = await asyncio.start_unix_server(self._serve, path)
        async with server:
            yield
