"""Measurements of the platform as a whole: bringing it up, its memory, a first deploy, the tests."""

import socket
import tempfile
import time
import uuid
from pathlib import Path

import yaml
from docker.errors import APIError

from dynoform.cli import running, settings
from dynoform.cli.bench.measure import Bench
from dynoform.cli.engine import LABEL, Engine, connect
from dynoform.cli.places import PROJECT
from dynoform.cli.process import Command, run
from dynoform.errors import ConflictError, DynoformError

FIRST_ANSWER_SECONDS = 300
TEST_SECONDS = 5400
SAMPLE = "examples/apps/python"
_APPS = f"{PROJECT}:apps"
REST_SECONDS = 60
"""A builder that had work has gone by then, and so have connections to the store that only ``up`` needed."""


def cold_up(bench: Bench) -> float:
    """From no virtualenv, no tools, no images, no stack; the user's caches are left alone, Docker itself stays."""
    bench.down("--purge")
    with connect(bench.stack) as engine:
        if engine is not None:
            _forget_images(engine)
    venv = bench.context.places.venv
    for name in ("pulumi.json", "stamp", "bin/pulumi"):
        (venv / name).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="dynoform-bench-") as empty:
        names = ("DYNOFORM_CACHE", "GOCACHE", "GOMODCACHE", "PIP_CACHE_DIR")
        environ = {name: f"{empty}/{name.lower()}" for name in names}
        try:
            return bench.up(environ=environ)
        finally:
            # Go makes its module cache read-only.
            run(Command(["chmod", "-R", "u+w", empty], timeout=120))


def _forget_images(engine: Engine) -> None:
    """Removes our images and the engine's build cache. Raises `ConflictError` while another stack needs them."""
    others = [one["Spec"]["Name"] for one in engine.client.api.services(filters={"label": LABEL})]
    if others:
        raise ConflictError("cold-up", f"the images are in use by {others[0]}", "take the other stacks down first")
    for image in engine.client.images.list(filters={"reference": "dynoform/*"}):
        try:
            engine.client.images.remove(image.id, force=True)
        except APIError as error:
            why = f"image {image.tags[0]} cannot go: {error.explanation}"
            raise ConflictError("cold-up", why, "remove the images that are made from it: docker image prune") from None
    engine.client.api.prune_builds()


def warm_up(bench: Bench) -> float:
    """From no stack, with images and tools there."""
    bench.down("--purge")
    return bench.up()


def unchanged_up(bench: Bench) -> float:
    """An ``up`` that has nothing to do."""
    return bench.up()


def resident_memory(bench: Bench) -> float:
    """MiB resident in the platform's own processes at rest, on a new stack without an app."""
    bench.down("--purge")
    known = settings.load(bench.context.places.root, bench.stack.name)
    config = yaml.safe_load(known.file.read_text(encoding="utf-8"))["config"]
    with tempfile.NamedTemporaryFile("w", prefix="dynoform-bench-", suffix=".yaml") as file:
        yaml.safe_dump({"config": {key: value for key, value in config.items() if key != _APPS}}, file)
        file.flush()
        bench.up("--config-file", file.name)
    time.sleep(REST_SECONDS)
    with connect(bench.stack) as engine:
        if engine is None:
            raise DynoformError("Docker engine", "does not answer", "start it")
        services = running.services(engine)
    if any(each.running < each.wanted for each in services):
        raise DynoformError(f"stack {bench.stack.name}", "not all of it runs", "see bin/dynoform status")
    return running.total_memory(services) / (1 << 20)


def first_answer(bench: Bench) -> float:
    """From the upload of the Python sample's source to the new release's first 200 through the router, warm cache.

    The app is new each time; a first deploy, before the clock starts, fills its build cache.
    """
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        deploy(bench, api, name)
        return deploy(bench, api, name)
    finally:
        api.delete(f"/apps/{name}")


def deploy(bench: Bench, api: running.Api, name: str, source: Path | None = None) -> float:
    """Uploads `source`, or else the sample, builds it; seconds until the new release answers."""
    archive = running.archive(source or bench.context.places.root / SAMPLE)
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


def all_tests(bench: Bench) -> float:
    """Seconds of ``test``."""
    began = time.monotonic()
    bench.dynoform("test", "-q", seconds=TEST_SECONDS)
    return time.monotonic() - began
