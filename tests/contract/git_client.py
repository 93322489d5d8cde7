"""A real git, as a pusher has it, and a builder that does as a test says."""

import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import func, select

from dynoform.api.services import Services
from dynoform.store import builds, jobs
from dynoform.store.releases import create_release
from dynoform.store.session import BUILD_OUTPUT, JOBS, Store, notify
from dynoform.store.tables import App, Build, BuildOutput, Slug

SECONDS = 60


@dataclass
class Done:
    """A finished git command; ``said`` is what its user reads."""

    code: int
    said: str
    out: str


@dataclass(frozen=True)
class Checkout:
    """A working copy."""

    path: Path

    def git(self, *arguments: str, environment: dict[str, str] | None = None) -> Done:
        """Run git to its end."""
        with self.start(*arguments, environment=environment) as process:
            out, said = process.communicate(timeout=SECONDS)
        return Done(process.returncode, said, out)

    def start(self, *arguments: str, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start git."""
        home = {"HOME": str(self.path.parent), "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0", "LANG": "C"}
        who = {
            f"GIT_{role}_{part}": "ann@example.com" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
        }
        return subprocess.Popen(
            ["git", *arguments],
            cwd=self.path,
            env={"PATH": os.environ["PATH"], **home, **who, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def commit(self, files: dict[str, str], message: str = "A change") -> str:
        """Write files, commit everything; the commit's id."""
        for name, text in files.items():
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        assert self.git("add", "--all").code == 0
        assert self.git("commit", "--quiet", "--allow-empty", "--message", message).code == 0
        return self.head()

    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD").out.strip()

    def remote(self, url: str, ref: str = "refs/heads/main") -> str:
        """The commit that a ref of the remote names; empty for none."""
        return self.git("ls-remote", url, ref).out.partition("\t")[0]


def checkout(folder: Path, files: dict[str, str] | None = None) -> Checkout:
    """A new working copy with one commit on main."""
    folder.mkdir(parents=True)
    made = Checkout(folder)
    assert made.git("init", "--quiet", "--initial-branch=main").code == 0
    made.commit(files or {"Procfile": "web: python app.py\n", "app.py": "print('hello')\n"})
    return made


@dataclass
class Builder:
    """Takes builds in turn, as the real one does, and lets ``script`` decide what becomes of each."""

    store: Store
    script: Callable[["Builder", uuid.UUID], None]
    built: list[uuid.UUID] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Builder":
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        self._thread.join(10)

    def say(self, build_id: uuid.UUID, text: str) -> None:
        """Write a piece of output."""
        with self.store.transaction() as session:
            count = select(func.count()).where(BuildOutput.build_id == build_id)
            session.add(BuildOutput(build_id=build_id, sequence=session.scalar(count) or 0, text=text))
            notify(session, BUILD_OUTPUT, build_id)

    def fail(self, build_id: uuid.UUID, text: str) -> None:
        """Say why, and fail."""
        self.say(build_id, text)
        with self.store.transaction() as session:
            jobs.cancel(session, build_id)
            builds.fail(session, session.get_one(Build, build_id), "failed to compile Python app")

    def release(self, build_id: uuid.UUID, status: str = "succeeded") -> uuid.UUID:
        """Make slug and release, as the builder does: in one transaction with the build's end."""
        with self.store.transaction() as session:
            build = session.get_one(Build, build_id)
            app = session.get_one(App, build.app_id)
            slug = Slug(id=uuid.uuid4(), app_id=app.id, image="registry/apps@sha256:" + "0" * 64, size=1234)
            slug.checksum, slug.stack, slug.commit, slug.process_types = "SHA256:00", "dynoform-13", build.version, {}
            session.add(slug)
            release = create_release(session, app, description="Deploy", account_id=build.account_id, slug=slug)
            release.status = status
            if status == "pending":
                slug.process_types = {"release": "migrate"}
            jobs.cancel(session, build_id)
            build.status, build.slug_id, build.release_id = "succeeded", slug.id, release.id
            notify(session, BUILD_OUTPUT, build_id)
            return release.id

    def status(self, build_id: uuid.UUID) -> str:
        """The build's status now."""
        with self.store.transaction() as session:
            return str(session.scalar(select(Build.status).where(Build.id == build_id)))

    def _work(self) -> None:
        for _ in self.store.notifications([JOBS], idle=0.2):
            if self._stopped.is_set():
                return
            while (build_id := self._next()) is not None:
                self.built.append(build_id)
                self.script(self, build_id)

    def _next(self) -> uuid.UUID | None:
        with self.store.transaction() as session:
            query = select(Build.id).where(Build.status == "pending", Build.id.not_in(self.built))
            return session.scalars(query.order_by(Build.created_at).limit(1)).one_or_none()


def succeed(builder: Builder, build_id: uuid.UUID) -> None:
    """The script of a build that works."""
    builder.say(build_id, "-----> Building on the dynoform-13 stack\n-----> Python app detected\n")
    builder.say(build_id, "       Released v3\n       http://myapp.localhost:8080/ deployed to Dynoform\n\n")
    builder.release(build_id)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what nothing tells us about."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert condition()


@contextmanager
def no_store(services: Services) -> Iterator[None]:
    """The database takes no connection and has none."""
    url = services.configuration.database_url.replace("+psycopg", "").rpartition("/")[0]
    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute("ALTER DATABASE dynoform ALLOW_CONNECTIONS false")
        try:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'dynoform'")
            yield
        finally:
            connection.execute("ALTER DATABASE dynoform ALLOW_CONNECTIONS true")
