"""Dockerfiles: what is read of one, what is refused, and with which words."""

from collections.abc import Mapping

import pytest

from dynoform.domain import dockerfile, dockerfile_words, image_names, image_settings
from dynoform.domain.image_names import ImageName
from dynoform.errors import InvalidInputError

VARIABLES = {"NAME": "value", "EMPTY": "", "SPACED": "a b"}


def test_stages_and_instructions_are_read() -> None:
    text = """# syntax=docker/dockerfile:1
    ARG BASE=debian:13
    from ${BASE} AS builder
    RUN apt-get update \\
        # why
        && apt-get install --yes curl \\

        ca-certificates
    COPY --chown=app:app --chmod=755 . /app/
    FROM scratch
    COPY --from=builder /app /app
    CMD ["/app/run", "--port", "5000"]
    """
    found = dockerfile.parse("Dockerfile", text)
    assert [each.text for each in found.arguments] == ["BASE=debian:13"]
    builder, last = found.stages
    assert (builder.base, builder.name, last.base, last.name) == ("${BASE}", "builder", "scratch", None)
    run, copy = builder.instructions
    assert (run.line, run.shown) == (4, "RUN apt-get update && apt-get install --yes curl ca-certificates")
    assert (copy.flags, copy.text) == ({"chown": "app:app", "chmod": "755"}, ". /app/")
    assert last.instructions[-1].listed == ["/app/run", "--port", "5000"]
    assert (found.stage("BUILDER"), found.stage("1"), found.stage("2"), found.stage("other")) == (0, 1, None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Dockerfile: has no FROM — begin with FROM and the image to start from"),
        ("RUN true\nFROM a", "Dockerfile line 1: RUN true: comes before the first FROM — begin with FROM"),
        ("FROM a\nFORM b", "Dockerfile line 2: FORM b: FORM is not an instruction — mend it and push again"),
        ("FROM a b", "Dockerfile line 1: FROM a b: is not FROM image, or FROM image AS name — mend it and push again"),
        ("FROM a\nRUN", "Dockerfile line 2: RUN: has nothing after its name — mend it and push again"),
        ("FROM a\nRUN --network=host true", "line 2: RUN --network=host true: --network is not built here"),
        ("FROM a\nRUN --mount=type=secret,id=a true", "only mounts of type=cache are built here"),
        ("FROM a\nADD --checksum=sha256:0 a b", "--checksum is not built here — leave it out"),
        ("# escape=`\nFROM a", "Dockerfile: has another escape character than \\ — leave that line out"),
        ("FROM a\nRUN <<EOF\ntrue", "RUN <<EOF: the document has no end: a line that is EOF"),
        ("FROM a\nRUN <<EOF\n#!/usr/bin/perl\nEOF", "a script with an interpreter of its own is not run here"),
        ("FROM a\nCOPY <<EOF /a\nb\nEOF", "a file cannot be written in the Dockerfile itself here"),
        ("FROM a\n" + "#" * 300_000, "Dockerfile: is longer than 256 KiB — shorten it"),
    ],
)
def test_what_is_not_built_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        dockerfile.parse("Dockerfile", text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "script", "command"),
    [
        ("RUN <<EOF\nset -e\n\tmake\nEOF", "set -e\n\tmake\n", None),
        ("RUN <<-'EOF'\n\tmake\n\tEOF", "make\n", None),
        ("RUN cat <<A >one && cat <<B >two\n1\nA\n2\nB", None, "cat <<A >one && cat <<B >two\n1\nA\n2\nB"),
        ("RUN --mount=type=cache,target=/root/.npm npm ci", None, "npm ci"),
    ],
)
def test_a_run_may_have_documents(text: str, script: str | None, command: str | None) -> None:
    (run,) = dockerfile.parse("Dockerfile", f"FROM a\n{text}\n").stages[0].instructions
    assert run.script == script
    assert command is None or run.text == command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a  b\tc", ["a", "b", "c"]),
        ("$NAME ${NAME}s $NOBODY.", ["value", "values", "."]),
        ("'$NAME' \"$NAME b\" \\$NAME", ["$NAME", "value b", "$NAME"]),
        ("${EMPTY:-other} ${EMPTY-other} ${NOBODY-a} ${NAME:+b} ${NOBODY:+c}", ["other", "", "a", "b", ""]),
        ("$SPACED x=$SPACED", ["a b", "x=a b"]),
        ('"a \\"b\\" \\n" c\\ d', ['a "b" \\n', "c d"]),
        ("${NOBODY:-$NAME} $ 5$", ["value", "$", "5$"]),
        ("'open \"end", ['open "end']),
    ],
)
def test_words_are_as_docker_reads_them(text: str, words: list[str]) -> None:
    assert dockerfile_words.split(text, VARIABLES) == words
    assert dockerfile_words.expand("a $NAME", VARIABLES) == "a value"


def settings_of(*lines: str, base: Mapping[str, object] | None = None) -> image_settings.Settings:
    settings = image_settings.of(base)
    for instruction in dockerfile.parse("Dockerfile", "FROM a\n" + "\n".join(lines)).stages[0].instructions:
        assert settings.apply(instruction, settings.environment)
    return settings


def test_instructions_change_what_an_image_says() -> None:
    base = {"Env": ["PATH=/bin", "A=1"], "Entrypoint": ["/old"], "Cmd": ["old"], "WorkingDir": "/srv", "User": "app"}
    settings = settings_of(
        'ENV A=$A-2 B="b c"',
        "ENV C d  e",
        "LABEL maintainer=ann",
        "WORKDIR app",
        "USER $A:0",
        "EXPOSE 5000 53/udp",
        'SHELL ["/bin/bash", "-c"]',
        "CMD serve $PORT",
        base=base,
    )
    assert settings.as_config() == {
        "Env": ["PATH=/bin", "A=1-2", "B=b c", "C=d  e"],
        "Entrypoint": ["/old"],
        "Cmd": ["/bin/bash", "-c", "serve $PORT"],
        "User": "1-2:0",
        "WorkingDir": "/srv/app",
        "Labels": {"maintainer": "ann"},
        "ExposedPorts": {"5000/tcp": {}, "53/udp": {}},
    }


def test_what_the_platform_alone_gives_is_not_taken_from_a_base() -> None:
    labels = {"com.docker.swarm.task.id": "x", "dynoform.dyno-id": "a", "dynoform.base": "b", "c": "d"}
    assert settings_of(base={"Labels": labels}).labels == {"dynoform.base": "b", "c": "d"}


def test_an_entrypoint_takes_the_bases_command_away_but_not_its_own() -> None:
    base = {"Cmd": ["old"]}
    assert list(settings_of('ENTRYPOINT ["/run"]', base=base).command) == []
    assert list(settings_of('CMD ["new"]', 'ENTRYPOINT ["/run"]', base=base).command) == ["new"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ENV A", "has no value"),
        ("LABEL a=b c", "is not a list of NAME=value"),
        ("LABEL a=b dynoform.addon=c", "sets dynoform.addon, which only the platform does"),
        ("LABEL com.docker.swarm.service.name=c", "sets com.docker.swarm.service.name, which only the platform does"),
        ("SHELL bash", "is not a list of words"),
    ],
)
def test_a_wrong_setting_is_refused(line: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=f"Dockerfile line 2: {line}: {message}"):
        settings_of(line)


def test_an_argument_is_what_was_given_its_default_or_what_came_before_the_first_from() -> None:
    (one,) = dockerfile.parse("Dockerfile", "FROM a\nARG GIVEN=1 DEFAULT=$NAME BEFORE NOBODY").stages[0].instructions
    found = image_settings.arguments(one, {"GIVEN": "2", "OTHER": "3"}, {"BEFORE": "4"}, VARIABLES)
    assert found == {"GIVEN": "2", "DEFAULT": "value", "BEFORE": "4"}


@pytest.mark.parametrize(
    ("text", "name", "full", "address"),
    [
        ("node:20", ("docker.io", "node", "20"), "node:20", ("registry-1.docker.io", 443)),
        ("docker.io/a/b", ("docker.io", "a/b", "latest"), "a/b:latest", ("registry-1.docker.io", 443)),
        ("ghcr.io/a/b:1", ("ghcr.io", "a/b", "1"), "ghcr.io/a/b:1", ("ghcr.io", 443)),
        ("hub:5000/a", ("hub:5000", "a", "latest"), "hub:5000/a:latest", ("hub", 5000)),
    ],
)
def test_the_name_of_an_image_says_where_it_is(
    text: str, name: tuple[str, str, str], full: str, address: tuple[str, int]
) -> None:
    found = image_names.parse(text)
    assert found == ImageName(*name)
    assert (found.full, found.address) == (full, address)
    digest = "sha256:" + "a" * 64
    pinned = image_names.parse(f"{text}@{digest}")
    assert pinned and pinned.full.endswith(f"@{digest}")


@pytest.mark.parametrize("text", ["", "A", "a b", "-a", "a:", "../a", "a@sha256:1", "http://a/b", "sha256:" + "a" * 64])
def test_what_is_no_name_of_an_image_is_none(text: str) -> None:
    assert image_names.parse(text) is None


def test_stacks_have_names_too() -> None:
    assert [image_names.stack(name) for name in ("dynoform-13", "dynoform-13-build", "debian:13")] == [
        "run",
        "build",
        None,
    ]
