"""Durations, capabilities, image names: how programs and Docker write them."""

import pytest

from providers.docker.formats import (
    bare_capability,
    format_duration,
    parse_duration,
    shortest_duration,
    snake_case,
)
from providers.docker.image_reference import repository, repository_digest, with_tag
from providers.docker.registry_auth import registry_of
from providers.docker.service import same_image

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds", "shortest", "of_go"),
    [
        ("0s", 0, "0s", "0s"),
        ("60s", 60 * SECOND, "1m", "1m0s"),
        ("90s", 90 * SECOND, "1m30s", "1m30s"),
        ("1500ms", 3 * SECOND // 2, "1.5s", "1.5s"),
        ("1h", 3600 * SECOND, "1h", "1h0m0s"),
        ("1h0m5s", 3605 * SECOND, "1h0m5s", "1h0m5s"),
        ("500ms", SECOND // 2, "500ms", "500ms"),
        ("10s", 10 * SECOND, "10s", "10s"),
        ("2us", 2000, "2µs", "2µs"),
        ("7ns", 7, "7ns", "7ns"),
        ("-1.5m", -90 * SECOND, "-1m30s", "-1m30s"),
    ],
)
def test_durations_are_read_and_written_as_go_does(text: str, nanoseconds: int, shortest: str, of_go: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert shortest_duration(nanoseconds) == shortest
    assert format_duration(nanoseconds) == of_go


@pytest.mark.parametrize("text", ["10", "s", "1x", "1s ", "1.2.3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a valid duration"):
        parse_duration(text)


def test_names_of_one_thing_are_one() -> None:
    assert {bare_capability(name) for name in ("cap_net_admin", "NET_ADMIN", "CAP_NET_ADMIN")} == {"NET_ADMIN"}
    assert snake_case("stopGracePeriod") == "stop_grace_period"


@pytest.mark.parametrize(
    ("name", "tagged", "of_repository", "registry"),
    [
        ("app", "app:latest", "app", "docker.io"),
        ("a/app:1", "a/app:1", "a/app", "docker.io"),
        ("host:5000/a/app", "host:5000/a/app:latest", "host:5000/a/app", "host:5000"),
        ("host:5000/app:1", "host:5000/app:1", "host:5000/app", "host:5000"),
        ("quay.io/app@sha256:0f", "quay.io/app@sha256:0f", "quay.io/app", "quay.io"),
        ("localhost/app", "localhost/app:latest", "localhost/app", "localhost"),
    ],
)
def test_image_names_are_taken_apart(name: str, tagged: str, of_repository: str, registry: str) -> None:
    assert with_tag(name) == tagged
    assert repository(name) == of_repository
    assert registry_of(name) == registry


def test_digest_is_the_one_of_the_images_own_repository() -> None:
    digests = ["other@sha256:1", "app@sha256:2"]
    assert repository_digest("app:1", digests) == "app@sha256:2"
    assert repository_digest("third:1", digests) == "other@sha256:1"
    assert repository_digest("app:1", []) == ""


@pytest.mark.parametrize(
    ("of_engine", "of_program", "same"),
    [
        ("app:1@sha256:0f", "app:1", True),
        ("app:latest", "app", True),
        ("app:1@sha256:0f", "app:1@sha256:1f", False),
        ("app:2", "app:1", False),
        ("app:1", "app", False),
    ],
)
def test_an_image_that_the_engine_completed_is_the_programs(of_engine: str, of_program: str, same: bool) -> None:
    assert same_image(of_engine, of_program) is same
