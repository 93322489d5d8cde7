"""Measurements of what a developer waits for: a changed config var, a pushed commit."""

import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from dynoform.cli import running, trust
from dynoform.cli.bench.measure import Bench, Taken
from dynoform.cli.bench.platform import REST_SECONDS, answers, deploy
from dynoform.cli.commands.env import git_config
from dynoform.cli.process import Command, run
from dynoform.errors import DynoformError

DYNOS = 2
SECONDS = 600
SAMPLE = "examples/apps/python"
BUILDPACK_BEGINS, BUILDPACK_ENDS = "app detected", "Discovering process types"


def config_set(bench: Bench) -> Taken:
    """From ``PATCH config-vars`` until every dyno runs the new release, less the slowest dyno's own boot.

    A client asks all the while: a request that fails is an error, not a number.
    """
    with application(bench) as (api, name):
        api.patch(f"/apps/{name}/formation", {"updates": [{"type": "web", "quantity": DYNOS}]})
        until_up(api, name, DYNOS)
        before = {dyno["id"] for dyno in api.get(f"/apps/{name}/dynos")}
        outputs = bench.stack.outputs()
        with _traffic(f"{name}.{outputs['domain']}", int(outputs["httpPort"])):
            began = time.monotonic()
            api.patch(f"/apps/{name}/config-vars", {"BENCH": uuid.uuid4().hex})
            until_up(api, name, DYNOS, before)
            took = time.monotonic() - began
        boot = slowest_boot(api, name)
        return Taken(took - boot, {"in all": took, "boot of the slowest dyno": boot, "the rest": took - boot})


def git_push(bench: Bench) -> Taken:
    """A second ``git push`` with one changed line, less the time between the buildpack's first and last words.

    The platform is at rest before it: whoever pushes again within seconds finds a builder at work, and few do.
    """
    with application(bench) as (api, name), tempfile.TemporaryDirectory(prefix="dynoform-bench-") as folder:
        environment = _git(bench, api)
        work = Path(folder)
        run(Command(["cp", "-r", f"{bench.context.places.root / SAMPLE}/.", folder], timeout=60))
        for git in (["init", "-q", "-b", "main"], ["config", "user.email", "b@e.org"], ["config", "user.name", "b"]):
            run(Command(["git", *git], timeout=60, cwd=work))
        remote = f"{str(api.client.base_url).rstrip('/')}/{name}.git"
        _commit_and_push(work, remote, environment)
        time.sleep(REST_SECONDS)
        began = time.monotonic()
        words = _commit_and_push(work, remote, environment)
        took, buildpack = time.monotonic() - began, _buildpack_seconds(words)
        return Taken(took - buildpack, {"in all": took, "buildpack": buildpack, "the rest": took - buildpack})


@contextmanager
def application(bench: Bench) -> Iterator[tuple[running.Api, str]]:
    """A deployed app of its own, gone at the end."""
    api, name = bench.api(), f"bench-{uuid.uuid4().hex[:8]}"
    api.post("/apps", {"name": name})
    try:
        deploy(bench, api, name)
        yield api, name
    finally:
        api.delete(f"/apps/{name}")


def until_up(api: running.Api, name: str, dynos: int, before: Collection[str] = ()) -> None:
    """Waits for so many dynos that are up and not of `before` (ids). Raises `DynoformError` when they do not come."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = api.get(f"/apps/{name}/dynos")
        fresh = [dyno for dyno in found if dyno["state"] == "up" and dyno["id"] not in before]
        if len(fresh) == dynos:
            return
        time.sleep(0.05)
    raise DynoformError(f"app {name}", f"has not {dynos} new dynos after {SECONDS} s", f"heroku logs -a {name}")


def slowest_boot(api: running.Api, name: str) -> float:
    """Seconds from a dyno's creation to its state ``up``, by the platform's clock, of the slowest one."""
    logs = api.client.get(api.post(f"/apps/{name}/log-sessions", {"lines": 1500, "source": "heroku"})["logplex_url"])
    begun: dict[str, datetime] = {}
    boots: dict[str, float] = {}
    for line in logs.text.splitlines():
        moment, _, rest = line.partition(" ")
        dyno, _, message = rest.partition(": ")
        if message.startswith("Starting process with command"):
            begun[dyno] = datetime.fromisoformat(moment)
        elif message == "State changed from starting to up" and dyno in begun:
            boots[dyno] = (datetime.fromisoformat(moment) - begun[dyno]).total_seconds()
    return max(boots.values(), default=0.0)


@contextmanager
def _traffic(host: str, port: int) -> Iterator[None]:
    """Asks again and again. Raises `DynoformError` at the end when a request failed."""
    ended, failed = threading.Event(), 0

    def ask() -> None:
        nonlocal failed
        while not ended.wait(0.02):
            failed += not answers(host, port)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if failed:
        raise DynoformError(f"app {host}", f"failed {failed} requests meanwhile", "look at the router's log lines")


def _git(bench: Bench, api: running.Api) -> dict[str, str]:
    key = api.client.headers["Authorization"].removeprefix("Bearer ")
    host = str(api.client.base_url).rstrip("/")
    authority = trust.certificate(bench.stack)
    # Whatever the shell has it set to.
    own = {"HEROKU_API_KEY": key, "GIT_TERMINAL_PROMPT": "0", "GIT_SSL_CAINFO": str(authority)}
    return {**git_config(host, authority, {}), **own}


def _commit_and_push(work: Path, remote: str, environment: dict[str, str]) -> list[tuple[float, str]]:
    """Changes one line, commits and pushes; what the remote said, with the moment of each line."""
    (work / "CHANGED").write_text(uuid.uuid4().hex, encoding="utf-8")
    run(Command(["git", "add", "--all"], timeout=60, cwd=work))
    run(Command(["git", "commit", "-q", "-m", "change"], timeout=60, cwd=work))
    words: list[tuple[float, str]] = []
    command = ["git", "push", remote, "main"]
    with subprocess.Popen(  # noqa: S603 argv is built by us
        command, cwd=work, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True
    ) as push:
        assert push.stderr is not None  # noqa: S101 for mypy
        words += [(time.monotonic(), line) for line in push.stderr]
    if push.returncode:
        raise DynoformError("git push", words[-1][1].strip() if words else "said nothing", "look at the build's output")
    return words


def _buildpack_seconds(words: list[tuple[float, str]]) -> float:
    begins = next((moment for moment, line in words if BUILDPACK_BEGINS in line), 0.0)
    ends = next((moment for moment, line in words if BUILDPACK_ENDS in line), begins)
    return ends - begins
