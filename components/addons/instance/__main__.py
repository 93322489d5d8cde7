"""One add-on: the component of its service, with what the platform tells of it in the environment."""

import json
import os
from typing import Any

import pulumi

from components.addons import kafka, pool, postgres, postgres_ha, valkey
from components.addons.server_certificate import ServerCertificate
from components.platform_service import ADDON_LABEL
from dynoform.domain import data_services

INSTANCE = "DYNOFORM_INSTANCE"
"""A JSON object, see ``dynoform.addons.databases.Place`` and ``dynoform.addons.kafka``."""


class Instance(pulumi.ComponentResource):
    """A database with the certificate that it shows, or a cluster with those of its brokers."""

    def __init__(self, told: dict[str, Any]) -> None:
        name = f"addon-{told['addon'][:8]}"
        super().__init__("dynoform:index:Instance", name)
        self._name, self._told, self._labels = name, told, {ADDON_LABEL: told["addon"]}
        if told["service"] == data_services.POSTGRES:
            self._postgres()
        elif told["service"] == data_services.KAFKA:
            self._kafka()
        else:
            self._valkey()
        self.register_outputs({})

    def _certificate(self, uid: str) -> ServerCertificate:
        told, others = self._told, [address for _, address in dict.fromkeys(self._hosts())]
        if self._gateway:
            others.append(self._gateway)
        return ServerCertificate(
            self._name, told["stack"], told["address"], self._authority(), uid, self._labels, self, others=others
        )

    def _hosts(self) -> list[tuple[str, str]]:
        """Name and address of those besides the platform's on which there are parts of it."""
        return [(each[0], each[1]) for each in self._told.get("hosts") or () if each]

    def _places(self, count: int) -> list[tuple[str, str]]:
        """The same of each of its parts, of which there are so many; no name for the platform's."""
        told = self._told
        return [(each[0], each[1]) if each else ("", told["address"]) for each in told.get("hosts") or [None] * count]

    @property
    def _gateway(self) -> str:
        """Where clients find it on whichever host they are; empty where it is found on the platform's alone."""
        return str(self._told.get("gateway") or "")

    def _authority(self) -> dict[str, pulumi.Input[str]]:
        told = self._told["authority"]
        return {**told, "key_pem": pulumi.Output.secret(told["key_pem"])}

    def _common(self, uid: str) -> dict[str, Any]:
        """What both services' components are told; their images run as ``uid``."""
        same = ("stack", "image", "port", "memory_mib", "connections", "constraints")
        return {
            **{name: self._told[name] for name in same},
            "noun": f"addon-{self._told['addon']}",
            "network_id": self._told["network"],
            "certificate": self._certificate(uid),
            "keep": False,
            "labels": self._labels,
        }

    def _postgres(self) -> None:
        told, common, socket = self._told, self._common(postgres.USER), None
        own = {name: told[name] for name in ("address", "cache_mib", "elsewhere", "restored")}
        own |= {"repository": pulumi.Output.secret(told["repository"]), "filed": told.get("filed") or {}}
        if told.get("servers"):
            self._postgres_ha(common, own)
        else:
            args = postgres.PostgresArgs(**common, **own, user="", shares_socket=bool(told.get("shares_socket")))
            socket = postgres.Postgres(self._name, args, pulumi.ResourceOptions(parent=self)).socket
        if told.get("pool"):
            self._pool(told["pool"], common["certificate"], socket)

    def _postgres_ha(self, common: dict[str, Any], own: dict[str, Any]) -> None:
        told, same = self._told, {name: value for name, value in common.items() if name != "keep"}
        members = [*told["servers"], *told["voters"]]
        places = self._places(len(members))
        parts = [postgres_ha.Part(ports, address, host) for ports, (host, address) in zip(members, places, strict=True)]
        count = len(told["servers"])
        own |= {"servers": parts[:count], "voters": parts[count:], "authority": told["authority"]["cert_pem"]}
        own |= {"shells": told.get("shells") or (), "everywhere": bool(self._gateway)}
        args = postgres_ha.PostgresHAArgs(**same, **own)
        postgres_ha.PostgresHA(self._name, args, pulumi.ResourceOptions(parent=self))

    def _pool(self, told: dict[str, Any], certificate: ServerCertificate, socket: pulumi.Output[str] | None) -> None:
        """The database's connection pool, which shows the certificate that its server does."""
        same = ("stack", "address", "constraints")
        args = pool.PoolArgs(
            **{name: self._told[name] for name in same},
            noun=f"addon-{self._told['addon']}-pool",
            image=told["image"],
            network_id=told["host_network"] if socket else self._told["network"],
            server_port=self._told["port"],
            port=told["port"],
            database=told["database"],
            password=pulumi.Output.secret(told["password"]),
            size=told["size"],
            authority=self._told["authority"]["cert_pem"],
            certificate=certificate,
            socket=socket,
            gateway=self._gateway,
            labels=self._labels,
        )
        pool.Pool(f"{self._name}-pool", args, pulumi.ResourceOptions(parent=self))

    def _valkey(self) -> None:
        told, group = self._told, None
        if "members" in told:
            members = [
                valkey.Member(address, port, sentinel_port, image, host)
                for (port, sentinel_port), image, (host, address) in zip(
                    told["members"], told["images"], self._places(len(told["members"])), strict=True
                )
            ]
            group = valkey.Group(
                members,
                pulumi.Output.secret(told["password"]),
                pulumi.Output.secret(told["look_password"]),
                told["authority"]["cert_pem"],
                everywhere=bool(self._gateway),
            )
        args = valkey.ValkeyArgs(**self._common(valkey.USER), data_mib=told["cache_mib"], group=group)
        valkey.Valkey(self._name, args, pulumi.ResourceOptions(parent=self))

    def _kafka(self) -> None:
        told = self._told
        args = kafka.KafkaArgs(
            stack=told["stack"],
            noun=f"addon-{told['addon']}",
            network_id=told["network"],
            cluster_id=told["cluster_id"],
            brokers=[
                kafka.Broker(address, port, controller_port, image, host)
                for (port, controller_port), image, (host, address) in zip(
                    told["ports"], told["images"], self._places(len(told["ports"])), strict=True
                )
            ],
            authority=self._authority(),
            memory_mib=told["memory_mib"],
            heap_mib=told["heap_mib"],
            constraints=told["constraints"],
            keep=False,
            labels=self._labels,
        )
        kafka.Kafka(self._name, args, pulumi.ResourceOptions(parent=self))


Instance(json.loads(os.environ[INSTANCE]))
