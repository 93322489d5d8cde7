"""Plugins end with the Pulumi that started them, however it ended."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PULUMI = "import subprocess, sys; subprocess.run([sys.executable, '-m', sys.argv[1], '127.0.0.1:1'])"


@pytest.mark.parametrize("plugin", ["providers.docker", "providers.dynoform"])
def test_a_plugin_notices_that_pulumi_was_killed(plugin: str) -> None:
    command = [sys.executable, "-c", PULUMI, plugin]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as pulumi:
        assert pulumi.stdout is not None
        assert int(pulumi.stdout.readline()) > 0
        pulumi.kill()
        assert pulumi.communicate(timeout=60) == ("", None)  # ends when the plugin, too, has let go of it
