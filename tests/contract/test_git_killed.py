"""The API is killed while it follows a push: what is released and what the branch names agree, whatever happens."""

import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import func, select

from dynoform.api.services import Services
from dynoform.store.session import BUILD_OUTPUT, Store, notify
from dynoform.store.tables import Build, Push, Release
from tests.contract.api_process import started
from tests.contract.git_client import Builder, Checkout, checkout, no_store, until
from tests.contract.test_git import _empty_folders
from tests.store_fixtures import OPERATOR_KEY

__all__ = ["_empty_folders"]


def url_of(address: str) -> str:
    return f"{address.replace('//', f'//heroku:{OPERATOR_KEY}@')}/myapp.git"


@pytest.fixture
def work(tmp_path: Path) -> Checkout:
    return checkout(tmp_path / "work")


@pytest.fixture
def url(address: str, app: str) -> str:
    """The remote, by an API that lives on."""
    return url_of(address)


def push_and_kill(services: Services, work: Checkout, builder: Builder) -> None:
    """Push to an API that is killed, with all that it started, when the build has begun."""
    with started(services.configuration) as (process, address), work.start("push", url_of(address), "main") as push:
        until(lambda: builder.built)
        process.kill()
        said = push.communicate(timeout=30)[1]
    assert push.returncode != 0
    assert "Push rejected" not in said  # nobody can know


def kept(services: Services) -> list[Path]:
    """Files of objects that wait for a verdict, and what git left of the push."""
    (folder,) = list(services.configuration.repositories.glob("*.git"))
    return [path for name in ("dynoform-kept/*", "objects/tmp_objdir-*") for path in folder.glob(name)]


def open_pushes(store: Store) -> int:
    with store.transaction() as session:
        return session.scalar(select(func.count()).select_from(Push)) or 0


def test_a_build_that_ends_well_moves_its_branch(services: Services, work: Checkout, url: str, store: Store) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        builder.release(build_id)

    with Builder(store, script) as builder:
        push_and_kill(services, work, builder)
        assert work.remote(url) == ""
        go_on.set()
        until(lambda: work.remote(url) == work.head())
    assert (open_pushes(store), kept(services)) == (0, [])
    again = work.git("push", url, "main")
    assert (again.code, "Everything up-to-date" in again.said) == (0, True)
    assert work.git("clone", "--quiet", url, "clone").code == 0  # all of its objects are there
    assert Checkout(work.path / "clone").git("fsck", "--strict").code == 0


def test_a_build_that_fails_leaves_its_branch(services: Services, work: Checkout, url: str, store: Store) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        builder.fail(build_id, " !     Push rejected, failed to compile Python app.\n")

    with Builder(store, script) as builder:
        push_and_kill(services, work, builder)
        go_on.set()
        until(lambda: work.git("ls-remote", url).code == 0 and open_pushes(store) == 0)
    assert work.remote(url) == ""
    assert kept(services) == []


@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_a_release_command_decides_as_well(
    services: Services, work: Checkout, url: str, store: Store, status: str
) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        release_id = builder.release(build_id, "pending")
        assert go_on.wait(60)
        with store.transaction() as session:
            session.get_one(Release, release_id).status = status
            notify(session, BUILD_OUTPUT, release_id)

    with Builder(store, script) as builder:
        push_and_kill(services, work, builder)
        assert work.remote(url) == ""
        assert open_pushes(store) == 1
        go_on.set()
        until(lambda: work.git("ls-remote", url).code == 0 and open_pushes(store) == 0)
    assert work.remote(url) == (work.head() if status == "succeeded" else "")


def test_the_next_push_waits_for_one_that_was_broken_off(
    services: Services, work: Checkout, url: str, store: Store
) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        builder.release(build_id)

    with Builder(store, script) as builder:
        push_and_kill(services, work, builder)
        with work.start("push", url, "main") as again:
            assert again.stderr is not None
            for line in again.stderr:
                if "Waiting for another push to this app to end..." in line:
                    break
            go_on.set()
            said = again.communicate(timeout=30)[1]
    assert again.returncode == 1
    assert "main is at this commit already: an earlier push whose connection broke has deployed it" in said
    assert work.remote(url) == work.head()
    with store.transaction() as session:
        assert session.scalar(select(func.count()).select_from(Build)) == 1


def test_a_release_that_git_never_heard_of_moves_its_branch(
    services: Services, work: Checkout, url: str, store: Store
) -> None:
    # Killed in the moment between the release and git's own update.
    released = threading.Event()

    def release(builder: Builder, build_id: uuid.UUID) -> None:
        process.kill()
        builder.release(build_id)
        released.set()

    with (
        started(services.configuration) as (process, address),
        Builder(store, release),
        work.start("push", url_of(address), "main") as push,
    ):
        assert released.wait(30)
        push.communicate(timeout=30)
    assert push.returncode != 0
    assert work.remote(url) == work.head()


def test_a_push_whose_git_dies_is_decided_all_the_same(
    services: Services, work: Checkout, url: str, store: Store
) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        builder.release(build_id)

    with Builder(store, script) as builder, work.start("push", url, "main") as push:
        until(lambda: builder.built)
        killed = receiving(services)
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        if not killed:
            push.kill()
        push.communicate(timeout=30)
        go_on.set()
        until(lambda: work.remote(url) == work.head())
    assert len(killed) == 1 and push.returncode != 0
    assert (open_pushes(store), kept(services)) == (0, [])


def receiving(services: Services) -> list[int]:
    """The processes of git that take a push to one of these repositories."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended in between
            words, variables = path.read_bytes().split(b"\0"), path.with_name("environ").read_bytes()
            if b"receive-pack" in words and str(services.configuration.repositories).encode() in variables:
                found.append(int(path.parent.name))
    return found


def test_a_push_that_took_too_long_is_decided_all_the_same(
    work: Checkout, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dynoform.api import pushes

    monkeypatch.setattr(pushes, "_SECONDS", 8)  # its build has to have begun by then, on a busy machine, too
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        builder.release(build_id)

    with Builder(store, script):
        refused = work.git("push", url, "main")
        go_on.set()
        until(lambda: work.remote(url) == work.head())
    assert refused.code == 1
    assert (
        "remote: !\tPush rejected, it took too long: see `heroku releases` whether it was deployed all the same, "
        "and push again if it was not"
    ) in refused.said


def test_a_push_whose_follower_gives_up_is_decided_all_the_same(
    services: Services, work: Checkout, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dynoform.api import output_streams

    monkeypatch.setattr(output_streams, "_PATIENCE", 0.1)
    told = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        with no_store(services):
            assert told.wait(30)
        until(store.answers)
        builder.release(build_id)

    with Builder(store, script):
        refused = work.git("push", url, "main")
        told.set()
        until(lambda: work.remote(url) == work.head())
    assert refused.code == 1
    assert "remote: !\tPush rejected, the platform was interrupted: see `heroku releases`" in refused.said


def test_a_hook_whose_api_is_gone_refuses_and_says_what_to_do() -> None:
    from dynoform.git import hook

    ours, theirs = socket.socketpair()
    script = Path(hook.__file__).with_name("receive.py")
    with (
        theirs,
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            env={**os.environ, "DYNOFORM_HOOK": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        theirs.close()
        assert process.stdin is not None
        process.stdin.close()
        assert ours.recv(1000).endswith(b"\n")  # it has asked
        ours.close()
        assert process.stdout is not None
        said = process.stdout.read()
    assert process.returncode == 1
    assert said == "\n!\tThe platform was interrupted: push again, and it says whether this was deployed\n\n"
