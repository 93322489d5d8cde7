"""The platform's images, each built on the host from its recipe in ``images/``."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.ansible import Playbook, PlaybookArgs
from components.fleet import Host

ROOT = Path(__file__).resolve().parent.parent
PULUMI_CONTEXT = ".dynoform/pulumi"
"""Where `bin/dynoform` puts the Pulumi CLI that it brought, beside its recipe: too large to go with each context."""


@dataclass(frozen=True)
class Recipe:
    """How an image is made.

    Parameters:
        noun: directory below ``images/``; the image is ``dynoform/<noun>:<hash>``.
        sources: further directories and files of the project that the recipe copies in.
        without: what of them .dockerignore keeps out, or is known by a digest of its own.
        on: the image that it starts from; None for the base image.
        uses: an image that it copies from; its build argument is the noun in capitals, with underscores.
        context: what is sent to the engine, with the Dockerfile in it; None for the project's root.
    """

    noun: str
    sources: tuple[str, ...] = ()
    without: str = ""
    on: str | None = None
    uses: str | None = None
    context: str | None = None

    @property
    def dockerfile(self) -> str:
        """Path of the Dockerfile, relative to the context."""
        return "Dockerfile" if self.context else f"images/{self.noun}/Dockerfile"


RECIPES = (
    Recipe("postgres"),
    Recipe("postgres-ha", on="postgres"),
    Recipe("registry"),
    Recipe("router"),
    Recipe("log-agent"),
    Recipe("control-plane", sources=("dynoform", "requirements/platform.lock"), without="dynoform/cli"),
    Recipe("valkey"),
    Recipe("kafka"),
    Recipe("pulumi", context=PULUMI_CONTEXT, without=f"{PULUMI_CONTEXT}/bin"),
    Recipe(
        "addons",
        sources=("components", "providers"),
        on="control-plane",
        uses="pulumi",
    ),
    Recipe("stack-13"),
    Recipe("stack-13-build", sources=("buildpacks",), on="stack-13"),
)


@dataclass(frozen=True)
class ImagesArgs:
    """Parameters of ``Images``.

    Parameters:
        base: name of the base image on the host, ending in a hash of its contents' recipe.
        updates: image → which updates of Debian's it is to have; those not named have what their first build found.
    """

    base: pulumi.Input[str]
    updates: Mapping[str, str] = field(default_factory=dict)


class Images(pulumi.ComponentResource):
    """All images of the platform. They carry no stack's name: what is built for one serves every stack on the host."""

    names: Mapping[str, pulumi.Output[str]]
    """noun → image name with tag."""

    def __init__(self, name: str, args: ImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Images", name, None, opts)
        self._name = name
        names: dict[str, pulumi.Output[str]] = {}
        for recipe in RECIPES:
            start = names[recipe.on] if recipe.on else pulumi.Output.from_input(args.base)
            names[recipe.noun] = self._build(recipe, start, names, args.updates.get(recipe.noun, "")).name
        self.names = names
        self.register_outputs({"names": names})

    def _build(
        self, recipe: Recipe, start: pulumi.Output[str], names: Mapping[str, pulumi.Output[str]], updates: str
    ) -> docker.RemoteImage:
        digest = recipe_digest(recipe)
        used = {recipe.uses.upper().replace("-", "_"): names[recipe.uses]} if recipe.uses else {}
        wanted = {"UPDATES": updates} if updates else {}
        # The name changes with everything that goes in, so a change makes another image. Where Pulumi knows none of the
        # name it builds: from the engine's cache, if another stack has built the same.
        contents = f"{digest} {updates}".strip()
        from_all = pulumi.Output.all(start, *used.values())
        tag = from_all.apply(lambda all_: hashlib.sha256(" ".join([*all_, contents]).encode()).hexdigest()[:12])
        return docker.RemoteImage(
            f"{self._name}-{recipe.noun}",
            name=pulumi.Output.concat(f"dynoform/{recipe.noun}:", tag),
            build=docker.RemoteImageBuildArgs(
                context=recipe.context or ".",
                dockerfile=recipe.dockerfile,
                build_args={"BASE": start, **used, **wanted},
                remove=True,
                force_remove=True,
            ),
            triggers={"recipe": contents},
            keep_locally=True,
            opts=pulumi.ResourceOptions(parent=self, custom_timeouts=pulumi.CustomTimeouts(create="30m")),
        )


@dataclass(frozen=True)
class DistributedArgs:
    """Parameters of ``Distributed``.

    Parameters:
        host: where the images were built.
        registry: ``host:port`` of the platform's registry, once it runs.
        images: noun → image with tag on that host.
    """

    host: Host
    registry: pulumi.Input[str]
    images: Mapping[str, pulumi.Input[str]]


class Distributed(pulumi.ComponentResource):
    """Images by names that every host of a fleet can get them by: they are built once, and pushed to the registry."""

    names: Mapping[str, pulumi.Output[str]]
    """noun → image name with tag."""

    def __init__(self, name: str, args: DistributedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:Distributed", name, None, opts)
        playbook = Playbook(
            f"{name}-images",
            PlaybookArgs(
                playbook="playbooks/distribute_images.yml",
                host=args.host.inventory,
                variables={
                    "docker_client": args.host.docker_client,
                    "image_distribution_registry": args.registry,
                    "image_distribution_images": dict(args.images),
                },
            ),
            pulumi.ResourceOptions(parent=self),
        )
        pushed = playbook.fact("images")
        self.names = {noun: pushed[noun] for noun in args.images}
        self.register_outputs({"names": self.names})


def recipe_digest(recipe: Recipe) -> str:
    """SHA-256, in hex, of the recipe's own directory and of all that it copies in: names, modes and contents."""
    digest = hashlib.sha256()
    for path in sorted(_files(recipe)):
        mode = "x" if path.stat().st_mode & 0o100 else "-"
        digest.update(f"{path.relative_to(ROOT)} {mode} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _files(recipe: Recipe) -> Iterator[Path]:
    left_out = ROOT / recipe.without if recipe.without else None
    for source in (recipe.context or f"images/{recipe.noun}", *recipe.sources):
        path = ROOT / source
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and left_out not in file.parents and "__pycache__" not in file.parts:
                yield file
