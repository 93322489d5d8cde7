import pytest

from dynoform.domain import slugs
from dynoform.errors import InvalidInputError


@pytest.mark.parametrize(
    ("pattern", "ignored", "kept"),
    [
        ("*.psd", ["art.psd", "a/b/art.psd"], ["art.psd.txt", "psd"]),
        ("/docs", ["docs/", "docs/a"], ["a/docs", "docs2"]),
        ("docs/", ["docs/", "a/docs/", "docs/a"], ["docs"]),
        ("a/b", ["a/b", "a/b/c"], ["x/a/b", "a/bc"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/bz", "z"]),
        ("tmp?", ["tmp1", "x/tmp2"], ["tmp", "tmp/1"]),
        ("a.b", ["a.b"], ["axb"]),
        ("# comment", [], ["# comment", "comment"]),
        ("!kept", [], ["kept", "!kept"]),
    ],
)
def test_slugignore_follows_gitignore_without_negation(pattern: str, ignored: list[str], kept: list[str]) -> None:
    patterns = slugs.ignore_patterns(f"{pattern}\n\n")
    assert [path for path in ignored + kept if slugs.is_ignored(path, patterns)] == ignored


def test_gits_own_folder_is_always_ignored() -> None:
    patterns = slugs.ignore_patterns("")
    assert slugs.is_ignored(".git/config", patterns) and not slugs.is_ignored(".gitignore", patterns)


@pytest.mark.parametrize(("name", "path"), [("./a/b", "a/b"), ("a//b/", "a/b"), (".", ""), ("./", "")])
def test_paths_are_relative_to_the_root(name: str, path: str) -> None:
    assert slugs.safe_path(name) == path


@pytest.mark.parametrize("name", ["/etc/passwd", "../a", "a/../../b", "a\nb", "a\x1b[31m"])
def test_a_path_out_of_the_root_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="source: has a file named"):
        slugs.safe_path(name)


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../../x", "x/../../../y"])
def test_a_link_out_of_the_root_is_refused(target: str) -> None:
    with pytest.raises(InvalidInputError, match="points out of the app's folder"):
        slugs.check_link("a/link", target if target != ".." else "../..")


def test_a_link_within_the_root_is_good() -> None:
    slugs.check_link("a/link", "../b")


def test_a_result_is_read() -> None:
    result = slugs.read_result('{"buildpacks": ["nodejs"], "process_types": {"web": "npm start"}, "procfile": "a: b"}')
    assert (result.failure, result.buildpacks, result.process_types) == (None, ["nodejs"], {"web": "npm start"})
    assert result.procfile == "a: b"
    assert slugs.read_result('{"failure": "failed\\nbadly"}').failure == "failed badly"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"process_types": []}', '{"buildpacks": 3}', "null", "[" * 100_000, '{"process_types": 1}']
)
def test_a_forged_result_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="left no readable result"):
        slugs.read_result(text)


def test_a_forged_process_type_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="process type 'a b'"):
        slugs.read_result('{"process_types": {"a b": "true"}}')


def test_the_procfile_wins_over_default_process_types() -> None:
    assert slugs.process_types({"web": "mine"}, {"web": "theirs", "console": "irb"}) == {
        "web": "mine",
        "console": "irb",
    }


def test_discovery_says_where_process_types_come_from() -> None:
    assert slugs.discovery({"web": "a"}, {"web": "b", "console": "c"}, ["ruby"]) == (
        "       Procfile declares types -> web\n       Default types for ruby -> console\n"
    )
    assert "Procfile declares types -> (none)" in slugs.discovery({}, {}, [])
