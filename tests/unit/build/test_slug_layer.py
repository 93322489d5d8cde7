import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dynoform.build.slug import ByteStream, LayerFile, write_layers
from dynoform.domain import slugs
from dynoform.errors import InvalidInputError, UnavailableError

NOISE = b"".join(hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(3000))
LONG = "deep/" * 60 + "file.txt"


def archive(mtime: int = 1_700_000_000, uid: int = 0, extra: str = "") -> bytes:
    """A tar such as the engine gives for /app."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content in (
            ("app", tarfile.DIRTYPE, b""),
            ("app/run", tarfile.REGTYPE, b"#!/bin/sh\n"),
            (f"app/{LONG}", tarfile.REGTYPE, NOISE),
            ("app/link", tarfile.SYMTYPE, b""),
            ("app/hard", tarfile.LNKTYPE, b""),
            ("app/pipe", tarfile.FIFOTYPE, b""),
            ("app/dévice", tarfile.CHRTYPE, b""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mtime, member.uid, member.mode = kind, len(content), mtime, uid, 0o6755
            member.uname, member.pax_headers = f"user{uid}", {"atime": str(mtime)}
            member.linkname = "run" if kind == tarfile.SYMTYPE else "app/run" if kind == tarfile.LNKTYPE else ""
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def layers(folder: Path, members: bytes, size: int = 1000) -> list[LayerFile]:
    folder.mkdir(exist_ok=True)
    return write_layers(pieces(members, size), folder)


def whole(folder: Path, members: bytes) -> bytes:
    """The one layer of an archive that has files of one part only."""
    (made,) = layers(folder, members)
    return b"".join(made.read())


def tree(*files: tuple[str, bytes], mode: int = 0o755) -> bytes:
    """A tar of an app's files with the folders that they are in, by name as the engine gives it; ``->`` is a link."""
    folders = {parent for name, _ in files for parent in Path("app", name).parents} - {Path()}
    entries: list[tuple[str, bytes | None]] = [(str(folder), None) for folder in folders]
    entries += [(f"app/{name}", content) for name, content in files]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in sorted(entries, key=lambda entry: entry[0].split("/")):
            member = tarfile.TarInfo(name)
            member.mode = mode
            if content is None:
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            elif content.startswith(b"->"):
                member.type, member.linkname = tarfile.LNKTYPE, content[2:].decode()
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def names(layer: LayerFile) -> list[str]:
    with tarfile.open(layer.path) as tar:
        return tar.getnames()


APP = (
    (".heroku/node/bin/node", b"node"),
    (".heroku/python/bin/python", b"python"),
    ("Procfile", b"web: true"),
    ("frontend/index.js", b"1"),
    ("frontend/node_modules/a/index.js", b"a"),
    ("node_modules/b/index.js", b"b"),
)


def test_the_same_files_give_the_same_layer_whenever_and_by_whomever_they_were_made(tmp_path: Path) -> None:
    (first,) = layers(tmp_path / "first", archive())
    (second,) = layers(tmp_path / "second", archive(mtime=1, uid=1000), size=7)
    assert first.layer == second.layer
    assert first.path.read_bytes() == second.path.read_bytes()


def test_a_layer_says_what_it_is(tmp_path: Path) -> None:
    (made,) = layers(tmp_path, archive())
    data = b"".join(made.read())
    assert made.layer.size == len(data)
    assert made.layer.digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert made.layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(data)).hexdigest()}"


def test_files_belong_to_the_dyno_and_lose_special_bits(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(whole(tmp_path, archive()))) as tar:
        members = {member.name: member for member in tar}
        assert tar.extractfile(f"app/{LONG}").read() == NOISE  # type: ignore[union-attr]
    assert list(members) == ["app", "app/run", f"app/{LONG}", "app/link", "app/hard"]
    assert {(item.uid, item.gid, item.mode, item.mtime) for item in members.values()} == {
        (1000, 1000, 0o755, 315532801)
    }
    assert (members["app/link"].linkname, members["app/hard"].linkname) == ("run", "app/run")


def test_each_part_is_a_layer_with_the_folders_that_its_files_are_in(tmp_path: Path) -> None:
    runtimes, dependencies, own = layers(tmp_path, tree(*APP))
    node = "app/.heroku/node"
    assert names(runtimes) == ["app", "app/.heroku", node, f"{node}/bin", f"{node}/bin/node"]
    assert [name for name in names(dependencies) if name.count("/") < 3] == [
        *("app", "app/.heroku", "app/.heroku/python", "app/frontend", "app/frontend/node_modules"),
        *("app/node_modules", "app/node_modules/b"),
    ]
    assert names(own) == ["app", "app/Procfile", "app/frontend", "app/frontend/index.js"]
    everything = {name for made in (runtimes, dependencies, own) for name in names(made)}
    with tarfile.open(fileobj=io.BytesIO(tree(*APP))) as tar:
        assert everything == set(tar.getnames())


def test_folders_are_what_they_are_in_every_layer(tmp_path: Path) -> None:
    for made in layers(tmp_path, tree(*APP, mode=0o750)):
        with tarfile.open(made.path) as tar:
            assert {(member.mode, member.uid) for member in tar} == {(0o750, 1000)}


def test_a_change_of_the_apps_own_files_is_in_the_top_layer_alone(tmp_path: Path) -> None:
    before = layers(tmp_path / "before", tree(*APP))
    changed = layers(tmp_path / "changed", tree(*APP, ("new/page.html", NOISE)))
    assert [one.layer for one in before[:2]] == [one.layer for one in changed[:2]]
    assert before[2].layer != changed[2].layer


def test_a_hard_link_is_in_the_layer_of_its_target(tmp_path: Path) -> None:
    """A layer is unpacked by itself: a link to what another one has would make the image useless."""
    link = ("node_modules/b/shared.js", b"->app/frontend/index.js")
    _, dependencies, own = layers(tmp_path, tree(*APP, link))
    assert "app/node_modules/b/shared.js" not in names(dependencies)
    assert names(own)[-3:] == ["app/node_modules", "app/node_modules/b", "app/node_modules/b/shared.js"]


def test_an_archive_in_any_order_keeps_all_its_files(tmp_path: Path) -> None:
    """A slug that a user has packed need not be in order, nor have its folders."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("app/b/1", "app/node_modules/x", "app/a", "app/b/2", "app/node_modules/y"):
            tar.addfile(tarfile.TarInfo(name))
    dependencies, own = layers(tmp_path, buffer.getvalue())
    assert names(dependencies) == ["app/node_modules/x", "app/node_modules/y"]
    assert names(own) == ["app/b/1", "app/a", "app/b/2"]


def test_a_slug_that_gets_too_large_is_refused_on_the_way(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"slug: is larger than 0\.1M — list what need not run in \.slugignore"):
        write_layers(pieces(archive(), 4096), tmp_path, limit=50_000)


def test_the_size_is_that_of_all_layers_together(tmp_path: Path) -> None:
    parts = tree((".heroku/a", NOISE), ("b", NOISE[::-1]), ("vendor/c", NOISE[1:]))
    sizes = [made.layer.size for made in layers(tmp_path, parts)]
    assert len(sizes) == 3
    with pytest.raises(InvalidInputError, match=r"slug: is larger than 0\.3M"):
        write_layers(pieces(parts, 4096), tmp_path, limit=sum(sizes) - 1)
    assert write_layers(pieces(parts, 4096), tmp_path, limit=sum(sizes))


def test_a_slug_of_too_many_files_is_refused_on_the_way(tmp_path: Path) -> None:
    assert write_layers(pieces(archive(), 4096), tmp_path, files=7)
    with pytest.raises(
        InvalidInputError, match=r"slug: has more than 6 files — list what need not run in \.slugignore"
    ):
        write_layers(pieces(archive(), 4096), tmp_path, files=6)


def test_a_disk_without_room_is_the_platforms_fault(tmp_path: Path) -> None:
    (tmp_path / f"layer-{slugs.OWN}").symlink_to("/dev/full")
    with pytest.raises(UnavailableError, match=r"slug: cannot be written down \(No space left on device\)"):
        layers(tmp_path, tree(("film", os.urandom(100_000))))


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("", slugs.OWN),
        (".heroku", slugs.RUNTIMES),
        (".heroku/jdk/bin/java", slugs.RUNTIMES),
        (".heroku/python/lib", slugs.DEPENDENCIES),
        (".heroku/python-runtime/usr", slugs.RUNTIMES),
        (".herokuish", slugs.OWN),
        ("vendor/bundle/ruby", slugs.DEPENDENCIES),
        ("vendors/a", slugs.OWN),
        ("packages/web/node_modules/a", slugs.DEPENDENCIES),
        ("packages/node_modules.txt", slugs.OWN),
        ("target/dependency/a.jar", slugs.DEPENDENCIES),
        ("target/app.jar", slugs.OWN),
        (".profile.d/python.sh", slugs.OWN),
    ],
)
def test_where_a_file_is_decides_on_its_layer(path: str, part: int) -> None:
    assert slugs.part(path) == part


def test_only_one_piece_is_held_at_a_time() -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield os.urandom(1024)

    stream = ByteStream(endless())
    assert len(stream.read(512)) == 512
    assert taken == 1
