"""Submodules, as Heroku resolves them when an app is pushed (https://devcenter.heroku.com/articles/git-submodules).

They are fetched over https only, without redirects, from the address that was looked at before: a ``.gitmodules`` is
a pusher's word, and must not make the platform read its own files or knock at its own doors.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from dynoform.errors import InvalidInputError
from dynoform.git.command import Git, GitError

MAXIMUM_COUNT = 50
MAXIMUM_DEPTH = 5
_FETCH_SECONDS = 180
_LINK = b"160000"
_MAXIMUM_URL = 2000
_MAXIMUM_SHOWN = 80


@dataclass
class Submodules:
    """Puts the files of a commit's submodules into its tree. Works in ``folder``, which the caller removes."""

    git: Git
    folder: Path
    objects: Mapping[str, str]
    """Environment for git commands in the app's repository."""
    forbidden: Collection[str] = ()
    """Addresses that are never asked."""
    _fetched: int = 0
    _made: bool = False
    environment: dict[str, str] = field(init=False)
    """Environment for git commands that are to find the tree that ``flattened`` gives."""

    def __post_init__(self) -> None:
        """See the app's objects first."""
        self.environment = dict(self.objects)

    async def flattened(self, commit: str) -> str:
        """The commit itself when it has no submodules, else a tree with their files in it.

        Raises ``InvalidInputError`` for one that cannot be had, saying which and why, and ``GitError``.
        """
        return await self._flattened(commit, "", 0)

    async def _flattened(self, commit: str, prefix: str, depth: int) -> str:
        urls = await self._urls(commit)
        links = await self._links(commit) if urls else {}
        if not links:
            return commit
        if depth >= MAXIMUM_DEPTH:
            raise InvalidInputError(f"submodules are nested more than {MAXIMUM_DEPTH} deep")
        await self._make()
        # Git wants a work tree for taking something out of an index, and never looks at it.
        index = {**self.environment, "GIT_WORK_TREE": str(self.folder)}
        index["GIT_INDEX_FILE"] = str(self.folder / f"index-{self._fetched}-{depth}")
        await self.git.run("read-tree", commit, more=index)
        for path, linked in links.items():
            shown = f"{prefix}{path}"
            if path not in urls:
                raise InvalidInputError(f"no url found for submodule path '{shown[:_MAXIMUM_SHOWN]}' in .gitmodules")
            await self._fetch(shown, urls[path], linked)
            tree = await self._flattened(linked, f"{shown}/", depth + 1)
            await self.git.run("update-index", "--force-remove", "--", path, more=index)
            await self.git.run("read-tree", f"--prefix={path}/", tree, more=index)
        return (await self.git.run("write-tree", more=index)).decode().strip()

    async def _urls(self, commit: str) -> dict[str, str]:
        """Path → URL of what .gitmodules declares; nothing when there is none."""
        try:
            listed = await self.git.run(
                "config", "--blob", f"{commit}:.gitmodules", "-z", "--list", more=self.environment
            )
        except GitError:
            return {}
        values: dict[str, dict[str, str]] = {}
        for entry in listed.decode(errors="replace").split("\0"):
            key, _, value = entry.partition("\n")
            name, _, attribute = key.removeprefix("submodule.").rpartition(".")
            if key.startswith("submodule.") and name:
                values.setdefault(name, {})[attribute] = value
        return {each["path"].strip("/"): each["url"] for each in values.values() if "path" in each and "url" in each}

    async def _links(self, commit: str) -> dict[str, str]:
        """Path → commit of the submodules in a commit's tree."""
        listed = await self.git.run("ls-tree", "-r", "-z", "--full-tree", commit, more=self.environment)
        links = {}
        for entry in listed.split(b"\0"):
            if entry.startswith(_LINK):
                about, _, path = entry.partition(b"\t")
                links[path.decode(errors="surrogateescape")] = about.split()[2].decode()
        return links

    async def _make(self) -> None:
        if self._made:
            return
        await self.git.run("init", "--quiet", "--bare", "--template=", str(self.folder), more={})
        elsewhere = [self.objects.get("GIT_OBJECT_DIRECTORY"), self.objects.get("GIT_ALTERNATE_OBJECT_DIRECTORIES")]
        elsewhere.append(str(Path(self.objects["GIT_DIR"]) / "objects"))
        alternates = ":".join(folder for folder in elsewhere if folder)
        self.environment = {"GIT_DIR": str(self.folder), "GIT_ALTERNATE_OBJECT_DIRECTORIES": alternates}
        self._made = True

    async def _fetch(self, path: str, url: str, commit: str) -> None:
        self._fetched += 1
        if self._fetched > MAXIMUM_COUNT:
            raise InvalidInputError(f"there are more than {MAXIMUM_COUNT} submodules")
        # In the environment, not in the arguments: the URL may carry a password.
        settings = {
            "remote.submodule.url": url,
            "http.curloptResolve": await self._address(path, url),
            "protocol.https.allow": "always",
        }
        more = {**self.environment, "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings.items()):
            more |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        fetch = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-gc")
        try:
            await self.git.run(*fetch, "--depth=1", "submodule", commit, more=more, seconds=_FETCH_SECONDS)
        except GitError:
            await self._fetch_all(path, fetch, commit, more)

    async def _fetch_all(self, path: str, fetch: tuple[str, ...], commit: str, more: Mapping[str, str]) -> None:
        """For servers that give away no single commit."""
        refs = f"+refs/heads/*:refs/submodules/{self._fetched}/*"
        try:
            await self.git.run(*fetch, "submodule", refs, more=more, seconds=_FETCH_SECONDS)
            await self.git.run("cat-file", "-e", f"{commit}^{{commit}}", more=more)
        except GitError:
            shown = path[:_MAXIMUM_SHOWN]
            raise InvalidInputError(
                f"submodule {shown!r} cannot be fetched at {commit[:8]}: its URL must be readable over https"
            ) from None

    async def _address(self, path: str, url: str) -> str:
        """What libcurl calls ``host:port:address``, for the URL. Raises ``InvalidInputError`` for one not allowed."""
        shown = path[:_MAXIMUM_SHOWN]
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or 443
        except ValueError:
            parts, host, port = urlsplit(""), "", 0
        if parts.scheme != "https" or not host or len(url) > _MAXIMUM_URL or any(ord(sign) <= 32 for sign in url):
            raise InvalidInputError(f"the URL of submodule {shown!r} must begin with https://")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise InvalidInputError(f"the host of submodule {shown!r} is not known") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not all(allowed(address) and address not in self.forbidden for address in addresses):
            raise InvalidInputError(f"the host of submodule {shown!r} is not allowed")
        return f"{host}:{port}:{','.join(f'[{each}]' if ':' in each else each for each in addresses)}"


def allowed(address: str) -> bool:
    """Hosts elsewhere may be asked, a company's own network included; this host and the cloud's metadata may not."""
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    return not (found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified)
