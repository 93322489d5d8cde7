from pathlib import Path

import pytest

from dynoform.domain import masks
from dynoform.domain.builds import Lines

CONFIG = {
    "TOKEN": "s3cr3t-t0ken",
    "SHORT": "1234567",
    "RAILS_ENV": "production",
    "DATABASE_URL": "postgres://u5er:pa%40ssword-1@10.0.0.1:5432/shop?sslmode=require",
    "KEY": "-----BEGIN-----\r\nMIIBVgIBADANBg\nxy\n",
    "PREFIX": "s3cr3t-t0",
}


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("TOKEN=s3cr3t-t0ken.", "TOKEN=[masked]."),
        ("s3cr3t-t0 s3cr3t-t0ken s3cr3t", "[masked] [masked] s3cr3t"),
        ("1234567 production xy", "1234567 production xy"),
        (CONFIG["DATABASE_URL"], "[masked]"),
        ("login u5er with pa%40ssword-1 or pa@ssword-1", "login u5er with [masked] or [masked]"),
        ("-----BEGIN----- MIIBVgIBADANBg", "[masked] [masked]"),
    ],
)
def test_values_of_eight_characters_or_more_are_masked(printed: str, shown: str) -> None:
    assert masks.of(CONFIG).hide(printed) == shown


def test_without_config_vars_nothing_is() -> None:
    assert masks.of({}).hide("all is shown") == "all is shown"
    assert masks.of({"A": "http://[broken"}).hide("http://[broken") == "[masked]"


def test_what_is_shown_all_the_same_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs/reference/buildpacks.md").read_text()
    assert [name for name in sorted(masks.OPEN) if f"`{name}`" not in text] == []


def lines(config: dict[str, str]) -> Lines:
    made, found = Lines(), masks.of(config)
    made.hide, made.reach = found.hide, found.reach
    return made


def test_a_value_is_masked_however_the_pieces_are_cut_and_coloured() -> None:
    data = b"a \x1b[1ms3cr3t\x1b[0m-t0ken b\r\nend\n"
    for cut in range(len(data)):
        made = lines({"TOKEN": "s3cr3t-t0ken"})
        assert made.feed(data[:cut]) + made.feed(data[cut:]) == "a [masked] b\nend\n"


@pytest.mark.parametrize("before", range(16 * 1024 - 20, 16 * 1024 + 20))
def test_a_value_across_the_cut_of_an_endless_line_is_masked(before: int) -> None:
    made = lines({"TOKEN": "s3cr3t-t0ken"})
    data = b"x" * before + b"s3cr3t-t0ken" + b"y" * 40_000
    said = "".join(made.feed(data[at : at + 1000]) for at in range(0, len(data), 1000)) + made.feed(b"", final=True)
    assert said.count("\n") > 1
    assert said.replace("\n", "") == "x" * before + "[masked]" + "y" * 40_000
