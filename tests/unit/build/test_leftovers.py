import os
from pathlib import Path

from dynoform.build.leftovers import remove_folders
from dynoform.journal import Journal


def test_folders_of_jobs_that_were_killed_go_and_those_at_work_stay(tmp_path: Path) -> None:
    for name in ("build-old", "setup-old", "slug-old", "build-new", "other-old"):
        (folder := tmp_path / name).mkdir()
        (folder / "layer-0").write_bytes(b"x")
        if name.endswith("old"):
            os.utime(folder, (1, 1))
    remove_folders(Journal("test"), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build-new", "other-old"]
