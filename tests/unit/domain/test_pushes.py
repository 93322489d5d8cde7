import pytest

from dynoform.domain.pushes import accepted


@pytest.mark.parametrize(
    ("build", "release", "answer"),
    [
        ("pending", None, None),
        ("failed", None, False),
        ("succeeded", "pending", None),
        ("succeeded", "failed", False),
        ("succeeded", "succeeded", True),
        ("succeeded", "expired", True),  # its slug is gone, but it did serve
    ],
)
def test_a_push_is_what_became_of_its_build_and_its_release(
    build: str, release: str | None, answer: bool | None
) -> None:
    assert accepted(build, release) is answer
