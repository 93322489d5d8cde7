"""Which images may leave the registry."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from dynoform.domain import container_images, images
from dynoform.domain.garbage import GRACE, Image, may_be_released, may_go, owner

APP = uuid.UUID("01234567-89ab-cdef-0123-456789abcdef")
SLUG = Image(images.app_repository(APP), GRACE + timedelta(seconds=1), has_slug=False, has_app=True, has_job=False)
PUSHED = replace(SLUG, repository=container_images.repository(APP, "web"))


@pytest.mark.parametrize(
    ("repository", "app"),
    [
        (f"apps/{APP}", APP),
        (f"containers/{APP}/web", APP),
        (f"containers/{APP}/my_type-2", APP),
        ("stacks/stack-13", None),
        ("apps/shop", None),
        (f"apps/{APP}/web", None),
        (f"containers/{APP}", None),
        (str(APP), None),
    ],
)
def test_a_repository_tells_whose_it_is(repository: str, app: uuid.UUID | None) -> None:
    assert owner(repository) == app


def test_what_nobody_needs_goes_and_what_anybody_may_need_stays() -> None:
    assert may_go(SLUG)
    assert may_go(replace(SLUG, has_app=False))
    assert not may_go(replace(SLUG, has_slug=True))
    assert not may_go(replace(SLUG, has_app=False, has_slug=True))  # a promotion took it to another app
    assert not may_go(replace(SLUG, has_job=True))
    assert not may_go(replace(SLUG, age=GRACE))
    assert not may_go(replace(SLUG, repository="stacks/stack-13"))


def test_a_pushed_image_can_be_released_while_its_app_is_there() -> None:
    assert may_be_released(PUSHED)
    assert not may_be_released(replace(PUSHED, has_app=False))
    assert not may_be_released(SLUG)
