"""Updates are named with what they close, or with the reason why not."""

import zlib

from dynoform.build import stack_updates
from dynoform.domain.stack_updates import Update
from tests.postgres import free_port

SSL = Update("libssl3t64", "openssl", "3.5.1-1", "3.5.4-1", "trixie-security", security=True)
DATA = b"VERSION 1\nCVE-2026-1,,one\n\nopenssl,0,S   ,3.5.4-1,\n\n"


def test_updates_are_named_with_the_cves_that_they_close() -> None:
    assert stack_updates.name([SSL], lambda: zlib.compress(DATA)) == ([(SSL, ["CVE-2026-1"])], None)


def test_nobody_is_asked_about_nothing() -> None:
    def asked() -> bytes:
        raise AssertionError

    assert stack_updates.name([], asked) == ([], None)


def test_a_tracker_that_cannot_be_reached_or_understood_is_told_in_one_line() -> None:
    def unreachable() -> bytes:
        return stack_updates.fetch(f"http://127.0.0.1:{free_port()}/")

    named, why = stack_updates.name([SSL], unreachable)
    assert named == [(SSL, None)]
    assert why
    assert why.startswith("Debian's security tracker cannot be reached from here (")
    assert why.endswith("): CVEs are not named.")
    named, why = stack_updates.name([SSL], lambda: b"<html>")
    assert (named, why) == (
        [(SSL, None)],
        "answer of Debian's security tracker has another format: CVEs are not named.",
    )
