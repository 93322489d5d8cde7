"""What becomes of an app on the stack ``container``: the images that its heroku.yml asks for, pushed by digest, or the
one that Cloud Native Buildpacks make.

https://devcenter.heroku.com/articles/build-docker-images-heroku-yml
"""

import tempfile
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dynoform.build import pack_build
from dynoform.build.image_build import Built, ImageBuild
from dynoform.build.job import Tools
from dynoform.build.output import Output
from dynoform.build.source import Source, SourceContext
from dynoform.build.workbench import Workbench
from dynoform.domain import dockerfile, heroku_yml, image_files, images, stacks
from dynoform.domain.heroku_yml import HerokuYml, Image
from dynoform.errors import InvalidInputError, UnavailableError
from dynoform.store import jobs, pushed_images
from dynoform.store.tables import Slug


@dataclass(frozen=True)
class _Pushed:
    place: str
    size: int
    built: Built


class ContainerBuild:
    """The work on one build. ``check`` raises when it has to end."""

    def __init__(
        self, tools: Tools, claim: jobs.Claim, output: Output, check: Callable[[], None], generation: int = 0
    ) -> None:
        """Nothing is done before ``slug``; ``generation`` is that of the app's cache."""
        self.bench = Workbench(tools.engine, claim.id, claim.app_id, generation)
        self._tools = tools
        self._claim = claim
        self._output = output
        self._check = check

    def slug(self, source: Source, version: str | None) -> Slug:
        """Build and push all images; what a release of them runs. Raises what ``ImageBuild.build`` raises."""
        text = source.texts.get(heroku_yml.FILE)
        if text is None and stacks.PROJECT in source.texts:
            return self._slug_by_pack(source, version)
        wanted = heroku_yml.parse(text)
        texts = source.read(_files(wanted))
        built: dict[Image, tuple[str, Built]] = {}
        pushed: dict[str, _Pushed] = {}
        for name, image in wanted.images.items():
            if image not in built:
                built[image] = (name, self._build(name, image, source, texts, wanted.arguments))
        for name, image in wanted.images.items():
            first, found = built[image]
            pushed[name] = pushed[first] if first in pushed else self._push(name, image.dockerfile, found)
        self.bench.forget_others()
        return self._slug(wanted, pushed, version)

    def _slug_by_pack(self, source: Source, version: str | None) -> Slug:
        pack = pack_build.program()
        if pack is None:
            mend = (
                f"install pack, build the image with it and push that, or add a {heroku_yml.FILE}, "
                f"or have it built by heroku stack:set {stacks.DEFAULT}"
            )
            raise InvalidInputError(stacks.PROJECT, "builders have no pack to run Cloud Native Buildpacks with", mend)
        self._output.say(f"=== Building with pack ({stacks.PROJECT})\n")
        network = self._tools.configuration.dyno_network
        with tempfile.TemporaryDirectory(prefix="build-", ignore_cleanup_errors=True) as folder:
            work = pack_build.PackBuild(self.bench, pack, network, Path(folder), self._output, self._check)
            built, commands = work.build(source)
        pushed = self._push("app", stacks.PROJECT, built)
        return self._made(commands, dict.fromkeys(commands, pushed.place), pushed.size, version)

    def _build(
        self, name: str, image: Image, source: Source, texts: Mapping[str, str], arguments: Mapping[str, str]
    ) -> Built:
        self._output.say(f"=== Building {name} ({image.dockerfile})\n")
        if image.dockerfile not in texts:
            raise InvalidInputError(
                f"{heroku_yml.FILE}: build.docker.{name}", f"there is no file {image.dockerfile}", "name one that is"
            )
        parsed = dockerfile.parse(image.dockerfile, texts[image.dockerfile])
        rules = image_files.ignore_rules(texts.get(_ignore_file(image), ""))
        context = SourceContext(source, image.context, rules)
        work = ImageBuild(self.bench, parsed, context, arguments, self._output, self._check)
        return work.build(image.target)

    def _push(self, name: str, recipe: str, built: Built) -> _Pushed:
        """Let the engine push the layers, and lay our own settings over them."""
        self._output.say(f"=== Pushing {name} ({recipe})\n")
        registry, repository = self._tools.registry, images.app_repository(self._claim.app_id)
        tag = f"{self._claim.id}-{name}"
        self._tools.engine.push(built.image, f"{registry.address}/{repository}", f"{tag}-layers")
        self._check()
        layers = registry.digest(repository, f"{tag}-layers")
        manifest = registry.manifest(repository, f"{tag}-layers")
        if layers is None or manifest is None:
            raise UnavailableError(f"image of {name}", "was pushed, but the registry does not have it", "push again")
        config = registry.config(repository, manifest["config"]["digest"])
        made = images.with_settings(manifest, config, built.settings.as_config())
        with self._tools.store.transaction() as session:
            for digest in (layers, made.digest):
                pushed_images.note(session, repository, digest)
        digest = registry.push(repository, tag, made)
        registry.delete(repository, layers)
        size = sum(int(layer["size"]) for layer in manifest["layers"])
        return _Pushed(f"{registry.address}/{repository}@{digest}", size, built)

    def _slug(self, wanted: HerokuYml, pushed: Mapping[str, _Pushed], version: str | None) -> Slug:
        commands, places = {}, {}
        for name, command in wanted.commands.items():
            settings = pushed[command.image].built.settings
            line = heroku_yml.command_line(command.command, settings.entrypoint, settings.command)
            if not line and command.optional:
                continue
            if not line:
                mend = f"add one to its Dockerfile, or a command to {heroku_yml.FILE}"
                raise InvalidInputError(f"process type {name}", "its image has no CMD", mend)
            commands[name], places[name] = line, pushed[command.image].place
        return self._made(commands, places, max(each.size for each in pushed.values()), version)

    def _made(self, commands: Mapping[str, str], places: Mapping[str, str], size: int, version: str | None) -> Slug:
        """What runs these commands, each in the image at its place."""
        first = next(iter(places.values()))
        return Slug(
            id=uuid.uuid4(),
            app_id=self._claim.app_id,
            image=first,
            images=dict(places),
            size=size,
            checksum=f"SHA256:{first.rpartition(':')[2]}",
            stack=stacks.CONTAINER,
            commit=version,
            process_types=dict(commands),
        )


def _files(wanted: HerokuYml) -> set[str]:
    found = set()
    for image in wanted.images.values():
        found |= {image.dockerfile, _ignore_file(image)}
    return found


def _ignore_file(image: Image) -> str:
    return f"{image.context}/{image_files.IGNORE_FILE}" if image.context else image_files.IGNORE_FILE
