import json
from typing import Any

import pytest

from dynoform.domain.images import (
    MANIFEST,
    OCI_MANIFEST,
    Layer,
    app_repository,
    checksum,
    sha256,
    slug_of,
    with_slug,
)

SLUG = [Layer("sha256:bbb", 20, "sha256:222"), Layer("sha256:ddd", 30, "sha256:333")]
CONFIG: dict[str, Any] = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"User": "dyno", "Env": ["STACK=dynoform-13"], "Entrypoint": ["/opt/dynoform/dyno"]},
    "container_config": {"Hostname": "builder-host"},
    "created": "2026-01-01T00:00:00Z",
    "history": [{"created_by": "base"}],
    "rootfs": {"type": "layers", "diff_ids": ["sha256:111"]},
}


def manifest(media_type: str = MANIFEST) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1, "digest": "sha256:ccc"},
        "layers": [{"mediaType": "x", "size": 10, "digest": "sha256:aaa"}],
    }


def test_the_slug_is_on_top_of_the_stack() -> None:
    image = with_slug(manifest(), CONFIG, SLUG)
    config, body = json.loads(image.config), json.loads(image.body)
    assert config["rootfs"]["diff_ids"] == ["sha256:111", "sha256:222", "sha256:333"]
    assert len(config["history"]) == 3
    assert config["config"] == CONFIG["config"]
    assert [layer["digest"] for layer in body["layers"]] == ["sha256:aaa", "sha256:bbb", "sha256:ddd"]
    assert body["config"]["digest"] == sha256(image.config) and body["config"]["size"] == len(image.config)
    assert image.digest == sha256(image.body)


def test_the_same_slug_on_the_same_stack_is_the_same_image_wherever_it_was_built() -> None:
    other = CONFIG | {"created": "2030-01-01T00:00:00Z", "container_config": {"Hostname": "another"}}
    assert with_slug(manifest(), CONFIG, SLUG) == with_slug(manifest(), other, SLUG)


def test_the_stacks_own_config_is_left_as_it_was() -> None:
    with_slug(manifest(), CONFIG, SLUG)
    assert CONFIG["rootfs"]["diff_ids"] == ["sha256:111"]


def test_an_oci_stack_gives_an_oci_image() -> None:
    image = with_slug(manifest(OCI_MANIFEST), CONFIG, SLUG)
    assert image.media_type == OCI_MANIFEST
    assert json.loads(image.body)["layers"][1]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.mark.parametrize("slug", [SLUG, SLUG[:1]])
def test_the_slug_can_be_taken_off_again(slug: list[Layer]) -> None:
    image = with_slug(manifest(), CONFIG, slug)
    found = slug_of(json.loads(image.body), json.loads(image.config))
    assert found == slug
    assert with_slug(manifest(), CONFIG, found).digest == image.digest


def test_a_slug_of_one_layer_from_before_there_were_more_can_be_taken_off() -> None:
    image = with_slug(manifest(), CONFIG, SLUG[:1])
    config = json.loads(image.config)
    config["history"][-1]["created_by"] = "slug"
    assert slug_of(json.loads(image.body), config) == SLUG[:1]


def test_a_slugs_checksum_is_that_of_its_files_however_they_are_compressed() -> None:
    compressed_anew = [Layer("sha256:other", 5, layer.diff_id) for layer in SLUG]
    assert checksum(SLUG) == checksum(compressed_anew)
    assert checksum(SLUG) != checksum(SLUG[:1]) != checksum(SLUG[1:])
    assert checksum(SLUG).startswith("SHA256:") and len(checksum(SLUG)) == 7 + 64


def test_each_app_has_a_repository() -> None:
    assert app_repository("0b1c") == "apps/0b1c"
