"""Buildpacks that are not ours: from a Git repository at a ref, a tarball, or by name from Heroku's registry of them.

Fetched in the build container, as everything that an app's owner chooses. What was fetched stays in the app's cache:
the next build asks only whether there is something newer, and goes on with the copy when nobody answers.
"""

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

REGISTRY = os.environ.get("DYNOFORM_BUILDPACK_REGISTRY", "https://buildpack-registry.s3.amazonaws.com/buildpacks")
"""Where Heroku keeps the buildpacks that are known by name: https://devcenter.heroku.com/articles/buildpack-registry."""
SECONDS = 120
"""Longest time that fetching one may take."""
BYTES = 256 * 1024 * 1024
"""Largest buildpack, packed or unpacked."""
_NAME = re.compile(r"[\w-]+/[\w-]+", re.ASCII)
_URL = re.compile(r"(https?|git|ssh)://\S+|git@\S+")
_TARBALL = re.compile(r"https?://[^#]+\.(tgz|tar\.gz|tar|tar\.xz|tar\.bz2)(\?[^#]*)?")


class FetchError(Exception):
    """A buildpack cannot be had; the text completes a sentence that begins with its address."""


@dataclass(frozen=True)
class Fetched:
    """A buildpack that is here. ``version`` says which; ``warning`` why it may not be the newest, if so."""

    folder: Path
    version: str
    warning: str | None


def is_reference(text: str) -> bool:
    """Can this be fetched: ``namespace/name``, or the URL of a tarball or of a repository, with ``#ref`` or without?"""
    return bool(_NAME.fullmatch(text) or _URL.fullmatch(text))


def without_password(reference: str) -> str:
    """A URL without what opens it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", reference)


class Sources:
    """Fetches buildpacks for one build."""

    def __init__(self, cache: Path, folder: Path) -> None:
        """``cache`` outlives the build; ``folder`` gets the build's own copies."""
        self.cache = cache
        self.folder = folder
        self.used: set[str] = set()

    def fetch(self, reference: str) -> Fetched:
        """Bring one here, a fresh copy for this build. Raises ``FetchError``."""
        url = f"{REGISTRY}/{reference}.tgz" if _NAME.fullmatch(reference) else reference
        key = hashlib.sha256(url.encode()).hexdigest()[:16]
        self.used.add(key)
        kept, copy = self.cache / key, self.folder / key
        warning = None
        try:
            _fetch_tarball(url, kept) if _TARBALL.fullmatch(url) else _fetch_repository(url, kept)
        except FetchError as failure:
            if not (kept / "version").is_file():
                raise
            warning = str(failure)
        shutil.copytree(kept / "content", copy, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        for step in ("detect", "compile"):
            if not (copy / "bin" / step).is_file():
                raise FetchError(f"has no bin/{step}: it is not a classic buildpack")
        for program in (copy / "bin").iterdir():
            if program.is_file():
                program.chmod(0o755)
        return Fetched(copy, (kept / "version").read_text(), warning)

    def forget_others(self) -> None:
        """Keep nothing in the cache that this build does not use."""
        for kept in self.cache.iterdir() if self.cache.is_dir() else ():
            if kept.name not in self.used:
                shutil.rmtree(kept, ignore_errors=True)


def _fetch_repository(url: str, kept: Path) -> None:
    address, _, ref = url.partition("#")
    repository = kept / "content"
    if not (kept / "version").is_file():  # written last: without it nothing here can be relied on
        shutil.rmtree(kept, ignore_errors=True)
        repository.mkdir(parents=True)
        _git(repository, address, "init", "--quiet")
    # The address is told each time, so that no password stays in the cache.
    try:
        _git(repository, address, "fetch", "--quiet", "--depth=1", "--no-tags", "--", address, ref or "HEAD")
        found = "FETCH_HEAD"
    except FetchError:
        if not ref:
            raise
        # A short commit's name: only whoever has all of them can tell which it is.
        everything = ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
        _git(repository, address, "fetch", "--quiet", "--depth=2147483647", "--", address, *everything)
        found = ref
    _git(repository, address, "checkout", "--quiet", "--force", "--detach", found, "--")
    if (repository / ".gitmodules").is_file():
        _git(repository, address, "submodule", "--quiet", "update", "--init", "--recursive", "--depth=1")
    commit = _git(repository, address, "rev-parse", "--short=12", "HEAD").strip()
    (kept / "version").write_text(f"commit {commit}")


def _git(repository: Path, address: str, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new",
        "GIT_ALLOW_PROTOCOL": os.environ.get("GIT_ALLOW_PROTOCOL", "https:http:git:ssh"),
    }
    return _run(["git", "-C", str(repository), *arguments], environment)


def _fetch_tarball(url: str, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    archive, etag = kept / "archive", kept / "etag"
    archive.unlink(missing_ok=True)
    command = ["curl", "--fail", "--silent", "--show-error", "--location", "--proto", "=http,https", "--retry", "2"]
    command += ["--max-time", str(SECONDS), "--max-filesize", str(BYTES)]
    command += ["--output", str(archive), "--etag-save", f"{etag}.new"]
    if (kept / "version").is_file() and etag.is_file():
        command += ["--etag-compare", str(etag)]
    _run([*command, "--", url], dict(os.environ))
    if not archive.is_file() or not archive.stat().st_size:
        return  # not modified
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    fresh = kept / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    _unpack(archive, fresh)
    (kept / "version").unlink(missing_ok=True)
    shutil.rmtree(kept / "content", ignore_errors=True)
    top = list(fresh.iterdir())
    # Archives that a Git host makes have all in one folder.
    inner = top[0] if len(top) == 1 and top[0].is_dir() and top[0].name != "bin" else fresh
    inner.rename(kept / "content")
    shutil.rmtree(fresh, ignore_errors=True)
    archive.unlink()
    if Path(f"{etag}.new").is_file():
        Path(f"{etag}.new").rename(etag)
    (kept / "version").write_text(f"tarball {digest[:12]}")


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir()
    size = 0
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                size += member.size
                if size > BYTES:
                    raise FetchError(f"is larger than {BYTES // 1024**2} MiB: make it smaller")
                opened.extract(member, folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise FetchError(f"is not a whole tarball of a buildpack ({error})") from error


def _run(command: list[str], environment: dict[str, str]) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - git and curl, told where their options end
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(f"cannot be fetched (no end after {SECONDS} seconds)") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        why = without_password(lines[0])[:200] if lines else f"{command[0]} ended with code {done.returncode}"
        raise FetchError(f"cannot be fetched ({why})")
    return done.stdout
