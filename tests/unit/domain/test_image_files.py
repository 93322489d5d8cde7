"""Which files a COPY takes, what a .dockerignore leaves out; and that no pattern takes a builder's time."""

import time

import pytest

from dynoform.domain import globs, image_files, slugs
from dynoform.domain.image_files import Selection

FILES = ["a.txt", "b.txt", "src/main.py", "src/lib/one.py", "docs/a.md", "x/src/other.py"]


@pytest.mark.parametrize(
    ("source", "into", "targets"),
    [
        (".", True, {name: f"/app/{name}" for name in FILES}),
        ("src", False, {"src/main.py": "/app/main.py", "src/lib/one.py": "/app/lib/one.py"}),
        ("/src/", True, {"src/main.py": "/app/main.py", "src/lib/one.py": "/app/lib/one.py"}),
        ("a.txt", False, {"a.txt": "/app"}),
        ("./a.txt", True, {"a.txt": "/app/a.txt"}),
        ("*.txt", True, {"a.txt": "/app/a.txt", "b.txt": "/app/b.txt"}),
        ("src/*", True, {"src/main.py": "/app/main.py", "src/lib/one.py": "/app/one.py"}),
        ("[^b].tx?", True, {"a.txt": "/app/a.txt"}),
        ("../../src/main.py", False, {"src/main.py": "/app"}),
        ("nothing", True, {}),
    ],
)
def test_a_copy_takes_what_its_source_names(source: str, into: bool, targets: dict[str, str]) -> None:
    selection = Selection((source,), "/app", into)
    found = {name: selection.target(name, is_folder=False) for name in FILES}
    assert {name: target for name, target in found.items() if target is not None} == targets
    assert selection.found == bool(targets)


def test_a_folder_goes_where_its_contents_go() -> None:
    selection = Selection(("src",), "/app", into=True)
    assert selection.target("src", is_folder=True) == "/app"
    assert selection.target("src/lib", is_folder=True) == "/app/lib"
    assert Selection((".",), "/app", into=True).target("", is_folder=True) == "/app"


@pytest.mark.parametrize(("working", "path", "place"), [("/srv", "app/", "/srv/app"), ("/srv", "/app", "/app")])
def test_a_destination_is_below_the_working_folder(working: str, path: str, place: str) -> None:
    assert image_files.destination(working, path) == place
    assert image_files.destination(working, "../../../..") == "/"


@pytest.mark.parametrize(
    ("text", "ignored"),
    [
        ("*.txt\n# src\n", ["a.txt", "b.txt"]),
        ("src\n", ["src/main.py", "src/lib/one.py"]),
        ("**/src/\n", ["src/main.py", "src/lib/one.py", "x/src/other.py"]),
        ("*\n!docs\n", ["a.txt", "b.txt", "src/main.py", "src/lib/one.py", "x/src/other.py"]),
        ("**/*.py\n!src/main.py\n", ["src/lib/one.py", "x/src/other.py"]),
        ("/docs/a.md", ["docs/a.md"]),
        ("", []),
    ],
)
def test_a_dockerignore_leaves_out_what_it_names(text: str, ignored: list[str]) -> None:
    rules = image_files.ignore_rules(text)
    assert [name for name in FILES if image_files.is_ignored(name, rules)] == ignored


@pytest.mark.parametrize(("source", "prefix"), [("a/b", "a/b"), ("a/*/c", "a"), ("*", ""), ("", "")])
def test_what_comes_before_a_wildcard_is_known(source: str, prefix: str) -> None:
    assert (image_files.prefix(source), image_files.is_wild(source)) == (prefix, "*" in source)


@pytest.mark.parametrize("pattern", ["*a" * 40 + "b", "**/" * 60 + "b", "[^b]*" * 40 + "c", "[z-a]", "[", "\\"])
def test_no_pattern_takes_long(pattern: str) -> None:
    path = "/".join(["a" * 200] * 40)
    started = time.thread_time()
    assert globs.parse(pattern).shortest(path.split("/")) is None
    assert not slugs.is_ignored(path, slugs.ignore_patterns(pattern))
    assert not image_files.is_ignored(path, image_files.ignore_rules(pattern))
    assert time.thread_time() - started < 1
