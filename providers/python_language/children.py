"""The processes a language host has started: run to the end, or streamed, and ended together."""

import queue
import subprocess
import threading
from collections.abc import Iterator
from typing import IO

from providers.python_language.program import Launch

GRACE_SECONDS = 5


class Children:
    """Starts processes and remembers those that still run."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def run(self, launch: Launch) -> int:
        """Runs a process to its end, its output being ours; returns its exit code, negative for a signal."""
        process = self._start(launch, None)
        try:
            return process.wait()
        finally:
            self._forget(process)

    def stream(self, launch: Launch) -> Iterator[tuple[str, bytes | int]]:
        """Runs a process; yields ``("stdout"|"stderr", bytes)`` as they come, then ``("exitcode", n)``.

        Closing the iterator early ends the process.
        """
        process = self._start(launch, subprocess.PIPE)
        chunks: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        readers = [
            threading.Thread(target=_pump, args=(name, pipe, chunks), daemon=True)
            for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        try:
            for reader in readers:
                reader.start()
            for _ in readers:
                while (chunk := chunks.get())[1]:
                    yield chunk
            yield "exitcode", process.wait()
        finally:
            self._end(process)
            self._forget(process)

    def stop(self) -> None:
        """Ends all that still run: politely, then for good."""
        with self._lock:
            running = list(self._running)
        for process in running:
            process.terminate()
        for process in running:
            self._end(process)

    def _start(self, launch: Launch, pipe: int | None) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(  # noqa: S603 the program is what the operator asked to run
            launch.argv, cwd=launch.cwd, env=launch.env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        with self._lock:
            self._running.add(process)
        return process

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(process)

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _pump(name: str, pipe: IO[bytes], chunks: "queue.SimpleQueue[tuple[str, bytes]]") -> None:
    with pipe:
        while data := pipe.read1(65536):  # type: ignore[attr-defined]
            chunks.put((name, data))
    chunks.put((name, b""))
