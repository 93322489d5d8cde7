"""``git push`` to an app, with a real git client: what it deploys, what it refuses, what the pusher reads."""

import base64
import http.client
import io
import os
import shutil
import subprocess
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import select

from dynoform.api.services import Services
from dynoform.domain import disk
from dynoform.store.session import BUILD_OUTPUT, Store, notify
from dynoform.store.tables import App, Build, Release, ReleaseOutput, Source
from tests.contract.conftest import OPERATOR_KEY, versions
from tests.contract.git_client import Builder, Checkout, checkout, no_store, succeed, until

BOB = "token-of-bob-"


@pytest.fixture
def work(tmp_path: Path) -> Checkout:
    """A working copy of an app."""
    return checkout(tmp_path / "work")


@pytest.fixture
def url(address: str, app: str) -> str:
    """The app's remote, with the token as password."""
    return remote(address, app)


def remote(address: str, app: str, token: str = OPERATOR_KEY) -> str:
    return f"{address.replace('//', f'//heroku:{token}@')}/{app}.git"


def builds(store: Store) -> list[Build]:
    with store.transaction() as session:
        return list(session.scalars(select(Build).order_by(Build.created_at)))


def tarball(services: Services, store: Store) -> dict[str, bytes]:
    """The files in the last source."""
    with store.transaction() as session:
        source = session.scalars(select(Source).order_by(Source.created_at.desc()).limit(1)).one()
    data = (services.configuration.sources / str(source.id)).read_bytes()
    assert source.size == len(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isreg()}  # type: ignore[union-attr]


def test_a_push_to_main_is_built_and_released(work: Checkout, url: str, store: Store, services: Services) -> None:
    with Builder(store, succeed):
        pushed = work.git("push", url, "main")
    assert pushed.code == 0, pushed.said
    shown = [line.rstrip() for line in pushed.said.splitlines() if line.startswith("remote:")]
    assert shown == [
        "remote: Compressing source files... done.",
        "remote: Building source:",
        "remote:",
        "remote: -----> Building on the dynoform-13 stack",
        "remote: -----> Python app detected",
        "remote:        Released v3",
        "remote:        http://myapp.localhost:8080/ deployed to Dynoform",
        "remote:",
        "remote: Verifying deploy... done.",
    ]
    assert "* [new branch]      main -> main" in pushed.said
    (build,) = builds(store)
    assert (build.version, build.status) == (work.head(), "succeeded")
    assert work.remote(url) == work.head()
    assert tarball(services, store) == {"Procfile": b"web: python app.py\n", "app.py": b"print('hello')\n"}


def test_output_arrives_while_the_build_runs(work: Checkout, url: str, store: Store) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        builder.say(build_id, "-----> Installing dependencies\n")
        assert go_on.wait(60)
        builder.release(build_id)

    with Builder(store, script), work.start("push", url, "main") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "Installing dependencies" in line:
                break
        assert [build.status for build in builds(store)] == ["pending"]
        go_on.set()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_failed_build_refuses_the_push(work: Checkout, url: str, store: Store) -> None:
    first = work.head()
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0
    before = versions(store)
    work.commit({"app.py": "broken"})

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        builder.fail(build_id, " !     Push rejected, failed to compile Python app.\n\n !     Push failed\n")

    with Builder(store, script):
        refused = work.git("push", url, "main")
    assert refused.code == 1
    for line in (
        "remote:  !     Push rejected, failed to compile Python app.",
        "remote: Verifying deploy...",
        "remote: !\tPush rejected to myapp.",
        " ! [remote rejected] main -> main (pre-receive hook declined)",
    ):
        assert line in refused.said
    assert work.remote(url) == first
    assert versions(store) == before
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0


@pytest.mark.parametrize(("status", "code", "said"), [("succeeded", 0, "done."), ("failed", 1, "failed.")])
def test_a_release_command_is_followed_and_its_failure_refuses_the_push(
    work: Checkout, url: str, store: Store, status: str, code: int, said: str
) -> None:
    def script(builder: Builder, build_id: uuid.UUID) -> None:
        release_id = builder.release(build_id, "pending")
        with store.transaction() as session:
            session.add(ReleaseOutput(release_id=release_id, sequence=0, text="Migrating the database\n"))
            notify(session, BUILD_OUTPUT, release_id)
        with store.transaction() as session:
            session.add(ReleaseOutput(release_id=release_id, sequence=1, text="Migrated\n"))
            session.get_one(Release, release_id).status = status
            notify(session, BUILD_OUTPUT, release_id)

    with Builder(store, script):
        pushed = work.git("push", url, "main")
    assert pushed.code == code
    shown = [line.rstrip() for line in pushed.said.splitlines() if line.startswith("remote:")]
    assert shown[3:9] == [
        "remote: Verifying deploy... done.",
        "remote: Running release command...",
        "remote:",
        "remote: Migrating the database",
        "remote: Migrated",
        f"remote: Waiting for release.... {said}",
    ]
    assert ("remote: !\tPush rejected to myapp." in pushed.said) is (status == "failed")
    assert work.remote(url) == (work.head() if code == 0 else "")


def test_other_branches_and_tags_are_kept_without_a_build(work: Checkout, url: str, store: Store) -> None:
    work.git("tag", "v1")
    for ref in ("main:feature", "v1", "main:refs/notes/x"):
        pushed = work.git("push", url, ref)
        assert (pushed.code, "remote: Pushed to non-main branch, skipping build." in pushed.said) == (0, True)
    assert work.remote(url, "refs/heads/feature") == work.head()
    assert work.git("push", url, "--delete", "feature", "v1").code == 0
    assert work.remote(url, "refs/heads/feature") == ""
    assert builds(store) == []


def test_what_is_deployed_from_cannot_be_deleted(work: Checkout, url: str, store: Store) -> None:
    with Builder(store, succeed):
        work.git("push", url, "main")
    refused = work.git("push", url, "--delete", "main")
    assert refused.code == 1
    assert "remote: !\tPush rejected, cannot delete main branch" in refused.said
    assert work.remote(url) == work.head()


def test_main_and_master_at_once_are_refused(work: Checkout, url: str, store: Store) -> None:
    refused = work.git("push", url, "main:main", "main:master", "main:other")
    assert refused.code == 1
    assert "remote: !\tPush rejected, cannot deploy main and master at once: push one of them" in refused.said
    assert work.git("ls-remote", url).out == ""
    assert builds(store) == []


def test_a_branch_that_is_no_commit_is_refused(work: Checkout, url: str, store: Store) -> None:
    blob = work.git("rev-parse", "HEAD:app.py").out.strip()
    refused = work.git("push", url, f"{blob}:refs/heads/main")
    assert refused.code == 1
    assert builds(store) == []


@pytest.mark.parametrize("branch", ["main", "master"])
def test_a_clone_checks_out_what_was_deployed(work: Checkout, url: str, store: Store, branch: str) -> None:
    with Builder(store, succeed):
        assert work.git("push", url, f"main:{branch}").code == 0
    assert work.git("clone", "--quiet", url, "clone").code == 0
    cloned = Checkout(work.path / "clone")
    assert cloned.head() == work.head()
    assert cloned.git("branch", "--show-current").out.strip() == branch


def test_a_clone_of_an_app_without_code_is_empty(work: Checkout, url: str) -> None:
    cloned = work.git("clone", url, "clone")
    assert cloned.code == 0
    assert "You appear to have cloned an empty repository." in cloned.said


def test_history_can_be_rewritten_by_force(work: Checkout, url: str, store: Store) -> None:
    with Builder(store, succeed):
        work.git("push", url, "main")
        work.git("commit", "--quiet", "--amend", "--message", "Another past")
        assert "[rejected]" in work.git("push", url, "main").said
        assert work.git("push", "--force", url, "main").code == 0
    assert work.remote(url) == work.head()
    assert len(builds(store)) == 2


def test_a_renamed_app_keeps_its_repository(
    work: Checkout, url: str, store: Store, client: httpx.Client, address: str
) -> None:
    with Builder(store, succeed):
        work.git("push", url, "main")
    client.patch("/apps/myapp", json={"name": "newname"}).raise_for_status()
    assert work.remote(remote(address, "newname")) == work.head()
    gone = work.git("push", url, "main")
    assert gone.code == 128
    assert "remote: !\tNo such app as myapp." in gone.said
    assert "not found" in gone.said


def test_the_size_of_the_repository_is_shown(work: Checkout, url: str, client: httpx.Client) -> None:
    assert client.get("/apps/myapp").json()["repo_size"] is None
    work.git("push", url, "main:other")
    until(lambda: (client.get("/apps/myapp").json()["repo_size"] or 0) > 300)


def test_a_wrong_token_is_told_what_to_do(work: Checkout, address: str, app: str) -> None:
    for service in (("push", remote(address, app, "wrong"), "main"), ("ls-remote", remote(address, app, "wrong"))):
        refused = work.git(*service)
        assert refused.code == 128
        assert "Authentication failed" in refused.said
        assert "remote: !\tDo not authenticate with username and password using git." in refused.said


def test_a_push_and_a_source_are_announced_to_the_builder(
    client: httpx.Client, nobody: httpx.Client, app: str, services: Services
) -> None:
    with psycopg.connect(services.configuration.database_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("LISTEN deploys")
        nobody.get(f"/{app}.git/info/refs?service=git-receive-pack")
        client.get(f"/{app}.git/info/refs?service=git-upload-pack").raise_for_status()
        assert list(connection.notifies(timeout=0.2, stop_after=1)) == []
        client.get(f"/{app}.git/info/refs?service=git-receive-pack").raise_for_status()
        client.post("/sources").raise_for_status()
        heard = [one.payload for one in connection.notifies(timeout=60, stop_after=2)]
    assert heard[0] == client.get(f"/apps/{app}").json()["id"]
    assert len(heard) == 2


def test_git_is_asked_for_credentials(nobody: httpx.Client, app: str) -> None:
    answer = nobody.get(f"/{app}.git/info/refs?service=git-receive-pack")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Basic realm="Dynoform"')
    assert answer.headers["content-type"].startswith("text/plain")


def test_another_users_app_is_one_that_does_not_exist(
    work: Checkout, address: str, app: str, stranger: httpx.Client, store: Store
) -> None:
    said = [work.git("push", remote(address, name, BOB), "main").said for name in (app, "nosuchapp")]
    assert said[0].replace(app, "nosuchapp") == said[1]
    assert "remote: !\tNo such app as myapp." in said[0]
    assert stranger.post(f"/{app}.git/git-receive-pack", content=b"0000").status_code == 404
    assert builds(store) == []


@pytest.mark.parametrize(
    "path",
    ["HEAD", "config", "objects/info/packs", "info/refs", "git-upload-archive", "info/refs?service=git-upload-archive"],
)
def test_nothing_is_served_but_gits_smart_protocol(client: httpx.Client, work: Checkout, url: str, path: str) -> None:
    work.git("push", url, "main:other")
    assert client.get(f"/myapp.git/{path}").status_code in (403, 404)


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e", "a%2fb", "x" * 300, "%00", "hooks", "00000000-0000-0000-0000-000000000000"]
)
def test_no_name_leads_out_of_the_folder(client: httpx.Client, name: str) -> None:
    answer = client.get(f"/{name}.git/info/refs?service=git-upload-pack")
    assert answer.status_code == 404


def test_a_request_that_is_not_gits_is_answered(client: httpx.Client, app: str) -> None:
    for content in (b"", b"0000", b"garbage", b"\0" * 70_000, b"ffff" * 100):
        for service in ("git-receive-pack", "git-upload-pack"):
            answer = client.post(f"/{app}.git/{service}", content=content)
            assert answer.status_code < 500 or answer.status_code == 503
            client.post(f"/{app}.git/{service}", content=content, headers={"Content-Encoding": "gzip"})
    assert client.get(f"/{app}.git/info/refs?service=git-upload-pack").status_code == 200


def test_another_protocol_version_is_understood(work: Checkout, url: str) -> None:
    work.git("push", url, "main:other")
    for version in ("0", "1", "2"):
        listed = work.git("-c", f"protocol.version={version}", "ls-remote", url, environment={"GIT_TRACE_PACKET": "1"})
        assert listed.code == 0
        assert ("git< version 2" in listed.said) is (version == "2")


def test_a_large_push_goes_in_pieces(work: Checkout, url: str, services: Services, store: Store) -> None:
    # Over http.postBuffer git sends chunks of unknown length; what it negotiates it compresses.
    (work.path / "big").write_bytes(os.urandom(5_000_000))
    work.commit({})
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0
    assert len(tarball(services, store)["big"]) == 5_000_000


def test_two_pushes_at_once_are_done_one_after_the_other(
    work: Checkout, url: str, store: Store, tmp_path: Path
) -> None:
    with Builder(store, succeed):
        work.git("push", url, "main")
    assert work.git("clone", "--quiet", url, str(tmp_path / "other")).code == 0
    other = Checkout(tmp_path / "other")
    work.commit({"a": "1"})
    other.commit({"b": "2"})
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        succeed(builder, build_id)

    with Builder(store, script) as builder, work.start("push", url, "main") as first:
        until(lambda: builder.built)
        with other.start("push", url, "main") as second:
            assert second.stderr is not None
            for line in second.stderr:
                if "Waiting for another push to this app to end..." in line:
                    break
            go_on.set()
            first.communicate(timeout=60)
            said = second.communicate(timeout=60)[1]
    assert (first.returncode, second.returncode) == (0, 1)
    assert "remote: !\tPush rejected, main was changed by another push: fetch it, then push again" in said
    assert work.remote(url) == work.head()
    assert [build.version for build in builds(store)][1:] == [work.head()]


def test_a_pusher_who_goes_away_does_not_stop_the_build(work: Checkout, url: str, store: Store) -> None:
    go_on = threading.Event()

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        assert go_on.wait(60)
        succeed(builder, build_id)

    with Builder(store, script) as builder:
        with work.start("push", url, "main") as process:
            until(lambda: builder.built)
            process.kill()
        time.sleep(0.2)
        go_on.set()
        until(lambda: work.remote(url) == work.head())
    assert [build.status for build in builds(store)] == ["succeeded"]


def test_an_upload_that_breaks_off_leaves_nothing(
    work: Checkout, url: str, client: httpx.Client, app: str, services: Services, store: Store
) -> None:
    def broken() -> Iterator[bytes]:
        yield b"0098" + b"0" * 40 + b" " + work.head().encode() + b" refs/heads/main\0 report-status side-band-64k"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        client.post(f"/{app}.git/git-receive-pack", content=broken())
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0
    (folder,) = list(services.configuration.repositories.glob("*.git"))
    assert list(folder.glob("objects/tmp_*")) == []
    assert len(builds(store)) == 1


def test_what_a_killed_push_left_is_no_obstacle(work: Checkout, url: str, services: Services, store: Store) -> None:
    work.git("push", url, "main:other")
    (folder,) = list(services.configuration.repositories.glob("*.git"))
    (folder / "refs/heads/main.lock").touch()
    (folder / "packed-refs.lock").touch()
    (folder / "objects/tmp_objdir-incoming-abc123").mkdir()
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0
    assert not (folder / "objects/tmp_objdir-incoming-abc123").exists()


def test_a_store_that_is_away_for_a_moment_is_waited_for(
    work: Checkout, url: str, store: Store, services: Services
) -> None:
    def script(builder: Builder, build_id: uuid.UUID) -> None:
        with no_store(services):
            time.sleep(2)  # a follower looks each second
        until(store.answers)
        succeed(builder, build_id)

    with Builder(store, script):
        pushed = work.git("push", url, "main")
    assert pushed.code == 0, pushed.said
    assert "remote: Verifying deploy... done." in pushed.said
    assert work.remote(url) == work.head()


def test_an_app_deleted_during_the_build_ends_the_push(
    work: Checkout, url: str, store: Store, client: httpx.Client
) -> None:
    def script(builder: Builder, build_id: uuid.UUID) -> None:
        client.delete("/apps/myapp").raise_for_status()

    with Builder(store, script):
        refused = work.git("push", url, "main")
    assert refused.code == 1
    assert "remote: !\tPush rejected to myapp." in refused.said


def test_a_cancelled_build_refuses_the_push(work: Checkout, url: str, store: Store) -> None:
    from dynoform.store.builds import cancel

    def script(builder: Builder, build_id: uuid.UUID) -> None:
        with store.transaction() as session:
            cancel(session, session.get_one(Build, build_id, with_for_update={"of": Build}))

    with Builder(store, script):
        refused = work.git("push", url, "main")
    assert refused.code == 1
    assert "remote:  !     The build was cancelled." in refused.said


@pytest.mark.parametrize("name", [".git", ".GIT", "..", ".git\u200c", "git~1"])
def test_a_tree_that_would_harm_a_checkout_is_refused(work: Checkout, url: str, store: Store, name: str) -> None:
    blob = work.git("rev-parse", "HEAD:app.py").out.strip()
    entry = b"40000 " + name.encode() + b"\0" + bytes.fromhex(_tree(work, b"100644 config\0" + bytes.fromhex(blob)))
    tree = _tree(work, entry)
    commit = work.git("commit-tree", tree, "-m", "Evil").out.strip()
    refused = work.git("push", url, f"{commit}:refs/heads/main")
    assert refused.code == 1
    assert "fsck error in packed object" in refused.said
    assert builds(store) == []


def test_a_symbolic_link_for_gitmodules_is_refused(work: Checkout, url: str, store: Store) -> None:
    # As git itself would not add it.
    (work.path / "target").write_text("/etc/passwd")
    target = work.git("hash-object", "-w", "target").out.strip()
    entry = f"120000 blob {target}\t.gitmodules\n"
    made = subprocess.run(["git", "mktree"], cwd=work.path, input=entry, capture_output=True, text=True, check=True)
    commit = work.git("commit-tree", "-p", "HEAD", "-m", "link", made.stdout.strip()).out.strip()
    assert work.git("reset", "--quiet", "--soft", commit).code == 0
    refused = work.git("push", url, "main")
    assert refused.code == 1
    assert "gitmodulesSymlink" in refused.said
    assert builds(store) == []


def test_a_link_out_of_the_app_stays_a_link(work: Checkout, url: str, services: Services, store: Store) -> None:
    (work.path / "passwd").symlink_to("/etc/passwd")
    work.commit({})
    with Builder(store, succeed):
        assert work.git("push", url, "main").code == 0
    assert "passwd" not in tarball(services, store)  # no file of the platform's: the builder refuses the link


def test_files_that_are_left_out_of_exports_are_built_all_the_same(
    work: Checkout, url: str, services: Services, store: Store
) -> None:
    work.commit(
        {".gitattributes": "tests export-ignore\nversion export-subst\n", "tests/a": "x", "version": "$Format:%H$"}
    )
    with Builder(store, succeed):
        work.git("push", url, "main")
    files = tarball(services, store)
    assert (files["tests/a"], files["version"]) == (b"x", b"$Format:%H$")


def test_a_shallow_clone_cannot_be_pushed(work: Checkout, url: str, store: Store, tmp_path: Path) -> None:
    work.commit({"a": "1"})
    assert work.git("clone", "--quiet", "--depth=1", f"file://{work.path}", str(tmp_path / "shallow")).code == 0
    refused = Checkout(tmp_path / "shallow").git("push", url, "main")
    assert refused.code == 1
    assert (
        "remote: !\tPush rejected, source repository is a shallow clone. "
        "Unshallow it with `git fetch --all --unshallow` and try pushing again."
    ) in refused.said
    assert builds(store) == []


def test_a_push_over_the_limit_is_refused_before_it_is_sent(address: str, app: str) -> None:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)
    key = base64.b64encode(f":{OPERATOR_KEY}".encode()).decode()
    headers = {"Content-Length": str(1024**3 + 1), "Authorization": f"Basic {key}"}
    connection.request("POST", f"/{app}.git/git-receive-pack", headers=headers)
    answer = connection.getresponse()
    said = answer.read().decode()
    connection.close()
    assert answer.status == 413
    assert said == "!\tPushes are limited to 1073741824 bytes: push your history in parts, or make it smaller.\n"


def test_a_push_of_unknown_length_over_the_limit_is_refused(
    work: Checkout, url: str, services: Services, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from dynoform.git import command

    settings = tmp_path / "gitconfig"
    settings.write_text(command._CONFIG.read_text().replace("maxInputSize = 1g", "maxInputSize = 3m"))
    monkeypatch.setattr(command, "_CONFIG", settings)
    (work.path / "big").write_bytes(os.urandom(8_000_000))
    work.commit({})
    refused = work.git("push", url, "main")
    assert refused.code == 1
    assert "remote: fatal: pack exceeds maximum allowed size (3.00 MiB)" in refused.said
    assert builds(store) == []
    (folder,) = list(services.configuration.repositories.glob("*.git"))
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000


def test_a_source_over_the_limit_is_refused_with_the_limit(
    work: Checkout, url: str, services: Services, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dynoform.api import upload

    opened = upload.Upload.__init__

    def nearly_full(self: upload.Upload, folder: Path, name: str) -> None:
        opened(self, folder, name)
        self.size = upload.MAXIMUM_BYTES - 100  # as if a gigabyte had been written

    monkeypatch.setattr(upload.Upload, "__init__", nearly_full)
    refused = work.git("push", url, "main")
    assert refused.code == 1
    assert (
        "remote: !\tPush rejected, its files are larger than 1073741824 bytes when compressed, which is the most that "
        "is built: keep what need not be deployed out of the repository"
    ) in refused.said
    assert (work.remote(url), builds(store), list(services.configuration.sources.iterdir())) == ("", [], [])


def test_a_nearly_full_disk_takes_no_pushes(work: Checkout, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "takes_uploads", lambda *_: False)
    refused = work.git("push", url, "main:other")
    assert refused.code == 128
    told = "remote: !\tThe push: the platform's disk is nearly full — tell your operator, then send it again"
    assert told in refused.said
    assert work.git("ls-remote", url).code == 0


def test_repositories_of_deleted_apps_are_swept(
    work: Checkout, url: str, client: httpx.Client, services: Services, address: str, store: Store
) -> None:
    import asyncio

    from dynoform.api.git import GitHost

    client.post("/apps", json={"name": "kept"}).raise_for_status()
    work.git("push", url, "main:other")
    work.git("push", remote(address, "kept"), "main:other")
    with store.transaction() as session:
        kept, app_id = (session.scalars(select(App.id).where(App.name == name)).one() for name in ("kept", "myapp"))
    client.delete("/apps/myapp").raise_for_status()

    def left() -> list[str]:
        asyncio.run(GitHost(services).sweep())
        return [path.name for path in services.configuration.repositories.glob("*.git")]

    until(lambda: f"{app_id}.git" not in left())  # the API may not have let go of it yet
    assert left() == [f"{kept}.git"]


def test_no_secret_reaches_git(services: Services) -> None:
    from dynoform.git.command import Git

    known = Git(services.configuration.repositories).environment({})
    assert {name for name in known if not name.startswith("GIT_")} == {"PATH", "LANG", "HOME"}


def _tree(work: Checkout, content: bytes) -> str:
    """Write a tree that git itself would not."""
    import subprocess

    made = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=work.path,
        input=content,
        capture_output=True,
        check=True,
    )
    return made.stdout.decode().strip()


@pytest.fixture(autouse=True)
def _empty_folders(services: Services) -> Iterator[None]:
    yield
    for path in services.configuration.repositories.glob("*.git"):
        until(lambda path=path: _removed(path))  # type: ignore[misc]
    for path in services.configuration.sources.iterdir():
        path.unlink(missing_ok=True)


def _removed(path: Path) -> bool:
    """A push that was given up on may still write there while it ends."""
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()
