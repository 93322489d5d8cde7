"""Submodules of a pushed commit: fetched over https into its source, and refused where they may not be fetched from."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dynoform.api.server import server_configuration
from dynoform.api.services import Services
from dynoform.git import submodules
from dynoform.git.command import Git
from dynoform.store.session import Store
from tests.api_server import running
from tests.contract.conftest import OPERATOR_KEY, apart
from tests.contract.git_client import Builder, Checkout, checkout, succeed
from tests.contract.test_git import _empty_folders, builds, remote, tarball
from tests.integration.certificates import Authority
from tests.postgres import free_port

__all__ = ["_empty_folders"]
HOST = "127.0.0.2"
"""Where the submodules' server is; the platform's own address is never asked."""


@pytest.fixture(scope="module")
def server(
    services: Services, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A git server with TLS, the API itself on another address: its URL, and the authority that it is known by."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = authority.issue("git", HOST)
    for name, content in {"ca.pem": authority.pem, "certificate.pem": certificate, "key.pem": key}.items():
        (folder / name).write_bytes(content)
    settings = server_configuration(apart(services), HOST, free_port())
    settings.ssl_certfile, settings.ssl_keyfile = str(folder / "certificate.pem"), str(folder / "key.pem")
    with running(settings):
        yield f"https://{HOST}:{settings.port}", folder / "ca.pem"


@pytest.fixture
def reachable(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> str:
    """The server's URL, with git allowed to go there and to trust it; elsewhere loopback is refused."""
    plain = Git.environment
    monkeypatch.setattr(submodules, "allowed", lambda address: address == HOST)
    monkeypatch.setattr(Git, "environment", lambda git, more: {**plain(git, more), "GIT_SSL_CAINFO": str(server[1])})
    return server[0]


@pytest.fixture
def work(tmp_path: Path) -> Checkout:
    """A working copy of an app."""
    return checkout(tmp_path / "work")


@pytest.fixture
def url(address: str, app: str) -> str:
    """The app's remote, with the token as password."""
    return remote(address, app)


def library(folder: Path, url: str, files: dict[str, str]) -> str:
    """A repository on the server, kept on a branch that is not built; the commit."""
    made = checkout(folder, files)
    assert made.git("push", url, "main:kept").code == 0
    return made.head()


def link(work: Checkout, path: str, url: str, commit: str) -> None:
    """Add a submodule to the index as ``git submodule add`` does, without fetching it."""
    assert work.git("config", "-f", ".gitmodules", f"submodule.{path}.path", path).code == 0
    assert work.git("config", "-f", ".gitmodules", f"submodule.{path}.url", url).code == 0
    assert work.git("add", ".gitmodules").code == 0
    assert work.git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}").code == 0
    assert work.git("commit", "--quiet", "--message", "A submodule").code == 0


@pytest.fixture
def parts(client: httpx.Client, address: str, reachable: str, tmp_path: Path) -> dict[str, str]:
    """Two libraries, one in the other: name → commit; on the server they are ``/<name>.git``."""
    for name in ("outer", "inner"):
        client.post("/apps", json={"name": name}).raise_for_status()
    inner = library(tmp_path / "inner", remote(address, "inner"), {"inner.py": "INNER = 1\n"})
    outer = checkout(tmp_path / "outer", {"outer.py": "OUTER = 1\n"})
    link(outer, "deep", remote(reachable, "inner"), inner)
    assert outer.git("push", remote(address, "outer"), "main:kept").code == 0
    return {"outer": outer.head(), "inner": inner}


def test_their_files_are_in_the_source_nested_ones_too(
    work: Checkout, url: str, reachable: str, parts: dict[str, str], services: Services, store: Store
) -> None:
    link(work, "vendor/outer", remote(reachable, "outer"), parts["outer"])
    with Builder(store, succeed):
        pushed = work.git("push", url, "main")
    assert pushed.code == 0, pushed.said
    files = tarball(services, store)
    assert files["vendor/outer/outer.py"] == b"OUTER = 1\n"
    assert files["vendor/outer/deep/inner.py"] == b"INNER = 1\n"
    assert files["app.py"] == b"print('hello')\n"
    assert OPERATOR_KEY not in pushed.said


def test_a_commit_that_no_branch_begins_with_is_found_too(
    work: Checkout, url: str, address: str, reachable: str, parts: dict[str, str], services: Services, store: Store,
    tmp_path: Path,
) -> None:  # fmt: skip
    grown = Checkout(tmp_path / "inner")
    grown.commit({"inner.py": "INNER = 2\n"})
    assert grown.git("push", remote(address, "inner"), "main:kept").code == 0
    link(work, "lib", remote(reachable, "inner"), parts["inner"])
    with Builder(store, succeed):
        pushed = work.git("push", url, "main")
    assert pushed.code == 0, pushed.said
    assert tarball(services, store)["lib/inner.py"] == b"INNER = 1\n"


@pytest.mark.parametrize(
    ("submodule", "reason"),
    [
        ("http://example.com/lib.git", "the URL of submodule 'lib' must begin with https://"),
        ("file:///etc", "the URL of submodule 'lib' must begin with https://"),
        ("git@example.com:a/b.git", "the URL of submodule 'lib' must begin with https://"),
        ("../sibling.git", "the URL of submodule 'lib' must begin with https://"),
        ("https://no-such-host.invalid/lib.git", "the host of submodule 'lib' is not known"),
        ("https://127.0.0.1/lib.git", "the host of submodule 'lib' is not allowed"),
        ("https://[::1]/lib.git", "the host of submodule 'lib' is not allowed"),
        ("https://169.254.169.254/latest", "the host of submodule 'lib' is not allowed"),
        ("https://[::ffff:169.254.169.254]/latest", "the host of submodule 'lib' is not allowed"),
    ],
)
def test_where_they_may_not_come_from_is_refused(
    work: Checkout, url: str, store: Store, submodule: str, reason: str
) -> None:
    link(work, "lib", submodule, "1" * 40)
    refused = work.git("push", url, "main")
    assert refused.code == 1
    assert f"remote: !\tPush rejected, {reason}" in refused.said
    assert builds(store) == []
    assert work.remote(url) == ""


def test_one_that_does_not_have_the_commit_is_refused(
    work: Checkout, url: str, reachable: str, parts: dict[str, str], store: Store
) -> None:
    link(work, "lib", remote(reachable, "inner"), "1" * 40)
    refused = work.git("push", url, "main")
    assert (
        "remote: !\tPush rejected, submodule 'lib' cannot be fetched at 11111111: its URL must be readable over https"
    ) in refused.said
    assert OPERATOR_KEY not in refused.said
    assert builds(store) == []


def test_one_that_gitmodules_does_not_name_is_refused(work: Checkout, url: str, store: Store) -> None:
    link(work, "lib", "https://example.com/lib.git", "1" * 40)
    assert work.git("config", "-f", ".gitmodules", "submodule.lib.path", "elsewhere").code == 0
    assert work.git("add", ".gitmodules").code == 0
    assert work.git("commit", "--quiet", "--message", "Not there").code == 0
    refused = work.git("push", url, "main")
    assert "no url found for submodule path 'lib' in .gitmodules" in refused.said
    assert builds(store) == []


def test_too_many_and_too_deep_are_refused(
    work: Checkout, url: str, reachable: str, parts: dict[str, str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    link(work, "lib", remote(reachable, "outer"), parts["outer"])
    monkeypatch.setattr(submodules, "MAXIMUM_DEPTH", 1)
    assert "submodules are nested more than 1 deep" in work.git("push", url, "main").said
    monkeypatch.setattr(submodules, "MAXIMUM_DEPTH", 5)
    monkeypatch.setattr(submodules, "MAXIMUM_COUNT", 1)
    assert "there are more than 1 submodules" in work.git("push", url, "main").said
    assert builds(store) == []
