"""The measurements. Each takes a `Bench` and returns one number; the harness repeats it and takes the median."""

import os
import socket
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dynoform.cli import running, trust
from dynoform.cli.context import Context
from dynoform.cli.engine import LABEL, Engine, connect
from dynoform.cli.process import Command, Finished, run
from dynoform.cli.stack import Stack
from dynoform.errors import ConflictError, DynoformError

UP_SECONDS = 1800
FIRST_ANSWER_SECONDS = 300
SAMPLE = "examples/apps/python"


@dataclass(frozen=True)
class Bench:
    """What measurements work with: a stack of their own, which may be thrown away."""

    context: Context
    stack: Stack

    def dynoform(self, *words: str, environ: dict[str, str] | None = None) -> Finished:
        """Runs ``bin/dynoform <words>`` as an operator does. Raises `DynoformError` when it fails."""
        program = str(self.context.places.root / "bin" / "dynoform")
        done = run(Command([program, *words], timeout=UP_SECONDS, env=environ or {}))
        if done.code:
            raise DynoformError(f"bin/dynoform {' '.join(words)}", done.last_words, "see bin/dynoform doctor")
        return done

    def up(self, environ: dict[str, str] | None = None) -> float:
        """Seconds of one ``up``, with `environ` on top of ours."""
        began = time.monotonic()
        self.dynoform("up", "--yes", "--stack", self.stack.name, environ=environ)
        return time.monotonic() - began

    def down(self, *words: str) -> None:
        """Removes the stack."""
        self.dynoform("down", "--yes", "--stack", self.stack.name, *words)

    def api(self) -> running.Api:
        """The stack's Platform API."""
        outputs: dict[str, Any] = self.stack.outputs()
        trust.write(self.stack, outputs)
        return running.Api(outputs["apiUrl"], str(outputs["apiKey"]), trust.certificate(self.stack))


@dataclass(frozen=True)
class Measure:
    """A measurement: what it is called, its unit, the goal (at most), and how it is taken.

    `once` marks those that throw caches away: they run once, whatever the number of runs.
    """

    name: str
    title: str
    unit: str
    goal: float
    take: Callable[[Bench], float]
    once: bool = False


def cold_up(bench: Bench) -> float:
    """From no virtualenv, no tools, no images, no stack; the user's caches are left alone, Docker itself stays."""
    bench.down("--purge")
    with connect(bench.stack.name) as engine:
        if engine is not None:
            _forget_images(engine)
    venv = bench.context.places.venv
    for name in ("pulumi.json", "stamp", "bin/pulumi"):
        (venv / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as empty:
        names = ("DYNOFORM_CACHE", "GOCACHE", "GOMODCACHE", "PIP_CACHE_DIR")
        environ = {name: f"{empty}/{name.lower()}" for name in names}
        try:
            return bench.up(environ)
        finally:
            # Go makes its module cache read-only.
            run(Command(["chmod", "-R", "u+w", empty], timeout=120))


def _forget_images(engine: Engine) -> None:
    """Removes our images and the engine's build cache. Raises `ConflictError` while another stack needs them."""
    others = [one["Spec"]["Name"] for one in engine.client.api.services(filters={"label": LABEL})]
    if others:
        raise ConflictError("cold-up", f"the images are in use by {others[0]}", "take the other stacks down first")
    for image in engine.client.images.list(filters={"reference": "dynoform/*"}):
        engine.client.images.remove(image.id, force=True)
    engine.client.api.prune_builds()


def warm_up(bench: Bench) -> float:
    """From no stack, with images and tools there."""
    bench.down("--purge")
    return bench.up()


def unchanged_up(bench: Bench) -> float:
    """An ``up`` that has nothing to do."""
    return bench.up()


def resident_memory(bench: Bench) -> float:
    """MiB resident in the platform's own processes, dynos left out."""
    with connect(bench.stack.name) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "start it")
        return running.total_memory(running.services(engine)) / (1 << 20)


def first_answer(bench: Bench) -> float:
    """From the upload of the Python sample's source to the new release's first 200 through the router, warm cache.

    The app is new each time; a first deploy, before the clock starts, fills its build cache.
    """
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        _deploy(bench, api, name)
        return _deploy(bench, api, name)
    finally:
        api.delete(f"/apps/{name}")


def _deploy(bench: Bench, api: running.Api, name: str) -> float:
    archive = running.archive(bench.context.places.root / SAMPLE)
    outputs = bench.stack.outputs()
    before = {dyno["id"] for dyno in api.get(f"/apps/{name}/dynos")}
    began = time.monotonic()
    blob = api.post("/sources", {})["source_blob"]
    api.put_raw(blob["put_url"], archive)
    build = api.post(f"/apps/{name}/builds", {"source_blob": {"url": blob["get_url"]}})
    while time.monotonic() < began + FIRST_ANSWER_SECONDS:
        dynos = api.get(f"/apps/{name}/dynos")
        is_new = bool(dynos) and all(one["state"] == "up" and one["id"] not in before for one in dynos)
        if is_new and answers(f"{name}.{outputs['domain']}", int(outputs["httpPort"])):
            return time.monotonic() - began
        if api.get(f"/apps/{name}/builds/{build['id']}")["status"] == "failed":
            raise DynoformError(f"build of {name}", "failed", f"look at its output: heroku builds:output -a {name}")
        time.sleep(0.1)
    raise DynoformError(f"app {name}", f"did not answer within {FIRST_ANSWER_SECONDS} s", f"heroku logs -a {name}")


def answers(host: str, port: int) -> bool:
    """Whether the router on this machine answers 200 for `host`."""
    request = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except OSError:
        return False


def fast_tests(bench: Bench) -> float:
    """Seconds of ``test --fast``."""
    began = time.monotonic()
    bench.dynoform("test", "--fast", "-q")
    return time.monotonic() - began


MEASURES = (
    Measure("cold-up", "`up` with nothing cached", "s", 720, cold_up, once=True),
    Measure("warm-up", "`up` with images and tools cached", "s", 90, warm_up),
    Measure("unchanged-up", "`up` without changes", "s", 8, unchanged_up),
    Measure("memory", "platform processes, resident", "MiB", 400, resident_memory),
    Measure("first-answer", "Python sample: source to first 200, warm cache", "s", 20, first_answer),
    Measure("fast-tests", "`test --fast`", "s", 120, fast_tests, once=True),
)


def machine() -> str:
    """This machine in one line: processors, memory, system, kernel, Docker."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    system = next(
        (line.partition("=")[2].strip('"') for line in release.splitlines() if line.startswith("PRETTY_NAME")), ""
    )
    with connect("bench") as engine:
        docker = engine.client.version().get("Version") if engine else "none"
    kernel = os.uname().release.partition("-")[0]
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB; {system}, Linux {kernel}; Docker {docker}"
