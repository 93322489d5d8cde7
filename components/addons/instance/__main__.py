"""One add-on: the component of its service, with what the platform tells of it in the environment."""

import json
import os
from typing import Any

import pulumi

from components.addons import postgres, valkey
from components.addons.server_certificate import ServerCertificate
from components.platform_service import ADDON_LABEL
from dynoform.domain import data_services

INSTANCE = "DYNOFORM_INSTANCE"
"""A JSON object, see ``dynoform.addons.databases.Place``."""


class Instance(pulumi.ComponentResource):
    """A database with the certificate that it shows."""

    def __init__(self, told: dict[str, Any]) -> None:
        name = f"addon-{told['addon'][:8]}"
        super().__init__("dynoform:index:Instance", name)
        self._name, self._told, self._labels = name, told, {ADDON_LABEL: told["addon"]}
        if told["service"] == data_services.POSTGRES:
            self._postgres()
        else:
            self._valkey()
        self.register_outputs({})

    @property
    def _noun(self) -> str:
        return f"addon-{self._told['addon']}"

    def _certificate(self, uid: str) -> ServerCertificate:
        told = self._told
        authority = {**told["authority"], "key_pem": pulumi.Output.secret(told["authority"]["key_pem"])}
        return ServerCertificate(self._name, told["stack"], told["address"], authority, uid, self._labels, self)

    def _postgres(self) -> None:
        told = self._told
        args = postgres.PostgresArgs(
            stack=told["stack"],
            noun=self._noun,
            image=told["image"],
            network_id=told["network"],
            address=told["address"],
            port=told["port"],
            user="",
            constraints=told["constraints"],
            certificate=self._certificate(postgres.USER),
            memory_mib=told["memory_mib"],
            cache_mib=told["cache_mib"],
            connections=told["connections"],
            keep=False,
            labels=self._labels,
        )
        postgres.Postgres(self._name, args, pulumi.ResourceOptions(parent=self))

    def _valkey(self) -> None:
        told = self._told
        args = valkey.ValkeyArgs(
            stack=told["stack"],
            noun=self._noun,
            image=told["image"],
            network_id=told["network"],
            port=told["port"],
            certificate=self._certificate(valkey.USER),
            memory_mib=told["memory_mib"],
            data_mib=told["cache_mib"],
            connections=told["connections"],
            constraints=told["constraints"],
            keep=False,
            labels=self._labels,
        )
        valkey.Valkey(self._name, args, pulumi.ResourceOptions(parent=self))


Instance(json.loads(os.environ[INSTANCE]))
