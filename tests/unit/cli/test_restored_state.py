"""Secrets of a stack's state, taken over into a new one by the real Pulumi, on a program that needs no Docker."""

import json
import os
import shutil

import pytest

from dynoform.cli.commands import restore
from dynoform.cli.places import CHECKOUT, Places
from dynoform.cli.stack import Stack
from tests.unit.cli.checkout import Checkout, checkout

__all__ = ["checkout"]
pytestmark = pytest.mark.slow
PROGRAM = """
import pulumi
from components.credentials import CertificateAuthority, CertificateAuthorityArgs, Password, PasswordArgs

class Plane(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("dynoform:index:ControlPlane", name)
        protected = pulumi.ResourceOptions(parent=self, protect=True)
        self.key = Password(f"{name}-key", PasswordArgs(), protected).value
        self.register_outputs({})

authority = CertificateAuthority("authority", CertificateAuthorityArgs("tests"), pulumi.ResourceOptions(protect=True))
plane = Plane("plane")
pulumi.export("apiUrl", "https://localhost:18843")
pulumi.export("apiKey", plane.key)
pulumi.export("caCertPem", authority.cert_pem)
pulumi.export("apps", {})
"""


def test_a_stack_that_was_lost_has_the_same_secrets_again(checkout: Checkout) -> None:
    (checkout.root / "components").symlink_to(CHECKOUT / "components")
    shutil.copy(CHECKOUT / "Pulumi.yaml", checkout.root)
    (checkout.root / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    first = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert first.returncode == 0, first.stderr
    data, kept = checkout.home / "data", checkout.home / "kept"
    places = Places(checkout.root, data, checkout.home / "cache")
    stack = Stack.of("mine", places, {"PATH": os.defpath})
    before, state, configuration = stack.outputs(), stack.deployment(), stack.config_file.read_bytes()
    data.rename(kept)
    places.make()
    shutil.copy(kept / "passphrase", places.passphrase)
    shutil.copytree(kept / "pulumi-home", places.pulumi_home)

    again = Stack.of("mine", places, {"PATH": os.defpath})
    again.directory.mkdir(parents=True)
    again.config_file.write_bytes(configuration)
    again.create(restore.settings.load(checkout.root, "mine", again.config_file))
    restore._edit(again, restore.kept(state))
    second = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert second.returncode == 0, second.stderr
    assert set(json.loads(second.stdout)["changes"]) <= {"create"}, "what is kept is as it was"
    assert again.outputs() == before
    third = checkout.run("up", "--yes", "--json", "--stack", "mine")
    assert json.loads(third.stdout)["changes"] == {}
