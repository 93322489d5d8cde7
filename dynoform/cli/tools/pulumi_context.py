"""The context of the image with the Pulumi CLI: the program that was brought for `up` makes add-ons, too."""

import json
import os
import shutil
from pathlib import Path

from dynoform.cli.places import Places
from dynoform.cli.tools import probe
from dynoform.cli.tools.store import file_digest

COPIED = ("images/pulumi/Dockerfile", "requirements/addons.lock")
FOLDER = ".dynoform/pulumi"
"""As ``components/images.py`` has it."""
RECORD = "pulumi.json"


def prepare(places: Places) -> None:
    """Has the folder hold the CLI of this checkout, its digest, the recipe and its lock; takes no time when it does."""
    folder, program = places.root / FOLDER, places.pulumi.resolve()
    record = folder.parent / RECORD
    if not (folder / "bin/pulumi").exists() or not probe.is_known(program, record):
        record.unlink(missing_ok=True)
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        _place(program, folder / "bin/pulumi")
        (folder / "digest").write_text(file_digest(program) + "\n", encoding="utf-8")
        record.write_text(json.dumps(probe.identity(program)), encoding="utf-8")
    for name in COPIED:
        source = places.root / name
        shutil.copyfile(source, folder / source.name)


def _place(program: Path, target: Path) -> None:
    """A link where there can be one, else a copy; whole or not at all."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        os.link(program, fresh)
    except OSError:
        shutil.copy2(program, fresh)
    fresh.replace(target)
