import io
import tarfile
from pathlib import Path

import pytest

from dynoform.build.slug import TAR_END
from dynoform.build.source import Source
from dynoform.domain import builds
from dynoform.errors import InvalidInputError


def member(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode, info.uid = kind, len(content), link, 0o4400, 77
    return info, content


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def unpack(source: Source) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(b"".join([*source.members("app"), TAR_END]))) as tar:
        return {item.name.removeprefix("app/"): item for item in tar}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_source_is_passed_on_for_the_dyno_to_build(tmp_path: Path, mode: str) -> None:
    content = b"web: true\n"
    path = pack(
        tmp_path / "source",
        member("./"),
        member("./bin", tarfile.DIRTYPE),
        member("./Procfile", content=content),
        member("./bin/link", tarfile.SYMTYPE, link="../Procfile"),
        member("./bin/hard", tarfile.LNKTYPE, link="./Procfile"),
        mode=mode,
    )
    source = Source.inspect(path)
    assert source.texts == {"Procfile": "web: true\n"}
    found = unpack(source)
    assert list(found) == ["bin", "Procfile", "bin/link", "bin/hard"]
    assert {(item.uid, item.gid) for item in found.values()} == {(1000, 1000)}
    assert [found["bin"].mode, found["Procfile"].mode] == [0o700, 0o600]
    assert found["bin/hard"].linkname == "app/Procfile"


def test_what_is_ignored_stays_out(tmp_path: Path) -> None:
    path = pack(
        tmp_path / "source",
        member(".git", tarfile.DIRTYPE),
        member(".git/config", content=b"x"),
        member("art.psd", content=b"x"),
        member(".slugignore", content=b"*.psd\n"),
    )
    assert list(unpack(Source.inspect(path))) == [".slugignore"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (member("../out", content=b"x"), "has a file named '../out'"),
        (member("/etc/passwd", content=b"x"), "has a file named '/etc/passwd'"),
        (member("two\nlines", content=b"x"), r"has a file named 'two\\nlines'"),
        (member("\x1b[31mred", content=b"x"), r"has a file named '\\x1b\[31mred'"),
        (member("link", tarfile.SYMTYPE, link="/etc"), "link 'link' points out"),
        (member("a/link", tarfile.SYMTYPE, link="../../etc"), "link 'a/link' points out"),
        (member("hard", tarfile.LNKTYPE, link="../../etc/shadow"), "has a file named '../../etc/shadow'"),
        (member("device", tarfile.CHRTYPE), "'device' is not a plain file"),
        (member("disk", tarfile.BLKTYPE), "'disk' is not a plain file"),
        (member("pipe", tarfile.FIFOTYPE), "'pipe' is not a plain file"),
    ],
)
def test_a_hostile_member_is_refused(tmp_path: Path, bad: tuple[tarfile.TarInfo, bytes], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        Source.inspect(pack(tmp_path / "source", member("good", content=b"x"), bad))


def test_a_file_below_a_link_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "source", member("a", tarfile.SYMTYPE, link="b"), member("a/c", content=b"x"))
    with pytest.raises(InvalidInputError, match="'a/c' is in a folder that is a link"):
        Source.inspect(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "source"
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo("zeros")
        info.size = builds.SOURCE_BYTES + 1
        tar.fileobj.write(info.tobuf())  # type: ignore[union-attr]
    with pytest.raises(InvalidInputError, match=r"source: is larger than 1073\.7M"):
        Source.inspect(path)


def test_files_count_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "SOURCE_BYTES", 1000)
    half = member("first", content=b"x" * 500), member("second", content=b"x" * 500)
    assert Source.inspect(pack(tmp_path / "source", *half)).size == 1000
    with pytest.raises(InvalidInputError, match="source: is larger than"):
        Source.inspect(pack(tmp_path / "source", *half, member("third", content=b"x")))


def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "source"
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 500 * 1024 * 1024
    path.write_bytes(info.tobuf() + b"\0" * 4096)
    with pytest.raises(InvalidInputError, match="has a header larger than 1 MiB"):
        Source.inspect(path)


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builds, "SOURCE_FILES", 2)
    with pytest.raises(InvalidInputError, match="has more than 2 files"):
        Source.inspect(pack(tmp_path / "source", *(member(str(number)) for number in range(3))))


@pytest.mark.parametrize("content", [b"", b"not a tarball", b"\x1f\x8b\x08\x00garbage"])
def test_what_is_not_a_tarball_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "source"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="source: "):
        Source.inspect(path)


def test_a_tarball_cut_short_is_refused(tmp_path: Path) -> None:
    whole = pack(tmp_path / "source", member("file", content=bytes(range(256)) * 400)).read_bytes()
    (tmp_path / "source").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInputError, match="is not a whole tarball"):
        Source.inspect(tmp_path / "source")


def test_a_source_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        Source.inspect(tmp_path / "missing")
