"""Rules of container images and of the paths that Docker asks for."""

from typing import Any

import pytest

from dynoform.domain import container_images, registry_paths, stacks
from dynoform.domain.permissions import Permission
from dynoform.errors import InvalidInputError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("path", "kind", "rest"),
    [
        ("shop/web/manifests/latest", "manifests", "manifests/latest"),
        (f"shop/web/manifests/{DIGEST}", "manifests", f"manifests/{DIGEST}"),
        (f"shop/web/blobs/{DIGEST}", "blobs", f"blobs/{DIGEST}"),
        ("shop/web/blobs/uploads", "uploads", "blobs/uploads/"),
        ("shop/web/blobs/uploads/", "uploads", "blobs/uploads/"),
        ("shop/web/blobs/uploads/0b7e-1", "upload", "blobs/uploads/0b7e-1"),
        ("shop/web/tags/list", "tags", "tags/list"),
    ],
)
def test_a_path_names_an_app_a_type_and_a_thing(path: str, kind: str, rest: str) -> None:
    target = registry_paths.parse(path)
    assert target is not None
    assert (target.name, target.kind, target.rest) == ("shop/web", kind, rest)


@pytest.mark.parametrize(
    "path",
    [
        "", "_catalog", "shop/manifests/latest", "shop/web/x/manifests/latest", "Shop/web/manifests/latest",
        "shop/-web/manifests/latest", "shop/web.1/manifests/latest", "shop/../manifests/latest",
        "shop/web/manifests/la test", "shop/web/manifests/", "shop/web/blobs/latest", "shop/web/blobs/uploads/..",
        "shop/web/blobs/uploads/a/b", "shop/web/tags/other", f"shop/{'w' * 31}/tags/list", "shop/web/tags/list\n",
        "stacks/stack-13/manifests/x/y", f"{'a' * 37}/web/tags/list",
    ],
)  # fmt: skip
def test_anything_else_is_not_a_path_of_ours(path: str) -> None:
    assert registry_paths.parse(path) is None


@pytest.mark.parametrize(
    ("path", "method", "needs"),
    [
        ("shop/web/manifests/latest", "GET", Permission.VIEW),
        (f"shop/web/blobs/{DIGEST}", "HEAD", Permission.VIEW),
        ("shop/web/tags/list", "GET", Permission.VIEW),
        ("shop/web/manifests/latest", "PUT", Permission.DEPLOY),
        ("shop/web/manifests/latest", "DELETE", Permission.DEPLOY),
        ("shop/web/blobs/uploads/", "POST", Permission.DEPLOY),
        ("shop/web/blobs/uploads/1", "GET", Permission.DEPLOY),
        ("shop/web/blobs/uploads/1", "PATCH", Permission.DEPLOY),
    ],
)
def test_pulling_is_viewing_and_pushing_is_deploying(path: str, method: str, needs: Permission) -> None:
    target = registry_paths.parse(path)
    assert target is not None
    assert target.needs(method) is needs


def manifest(**config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    layers = [{"size": 10}, {"size": 20}]
    return {"config": {"digest": DIGEST}, "layers": layers}, {"os": "linux", "config": config}


@pytest.mark.parametrize(
    ("config", "command"),
    [
        ({"Cmd": ["/bin/sh", "-c", "serve -p $PORT"]}, "/bin/sh -c 'serve -p $PORT'"),
        ({"Entrypoint": ["/serve"], "Cmd": ["a b"]}, "/serve 'a b'"),
        ({"Entrypoint": ["/serve"], "Cmd": None}, "/serve"),
    ],
)
def test_an_image_runs_its_entrypoint_with_its_cmd(config: dict[str, Any], command: str) -> None:
    image = container_images.read("web", "sha256:m", *manifest(**config))
    assert (image.command, image.size, image.identifier, image.digest) == (command, 30, DIGEST, "sha256:m")


@pytest.mark.parametrize("size", [None, "x", float("inf"), [1]])
def test_a_manifest_of_another_shape_is_refused(size: object) -> None:
    read, config = manifest(Cmd=["x"])
    read["layers"] = [{"size": size}]
    with pytest.raises(InvalidInputError, match="has no readable manifest or config"):
        container_images.read("web", "sha256:m", read, config)


def test_descriptions_of_releases_read_as_on_heroku() -> None:
    assert container_images.deployed({"web": DIGEST}) == "Deployed web (aaaaaaaaaaaa)"
    assert container_images.deployed({"web": DIGEST, "worker": "sha256:" + "b" * 64}).endswith(
        ", worker (bbbbbbbbbbbb)"
    )
    assert container_images.removed(["web", "worker"]) == "Removed web, worker"


def test_a_stack_that_is_not_there_is_refused_in_herokus_words() -> None:
    assert stacks.check("container") == "container"
    with pytest.raises(InvalidInputError, match=r"Couldn't find that stack \(heroku-24\)\. Available stacks are: "):
        stacks.check("heroku-24")
