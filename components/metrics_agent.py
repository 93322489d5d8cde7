"""Hosts' figures for Prometheus: an exporter on each, closed to all without a certificate of the stack's authority."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.ansible import Playbook, PlaybookArgs
from components.credentials import Certificate, CertificateArgs, CertificateAuthority
from components.fleet import Host


@dataclass(frozen=True)
class MetricsAgentArgs:
    """Parameters of ``MetricsAgent``.

    Parameters:
        hosts: IPv4 address at which it listens → the host; others than this one reach it there only.
        port: where it listens.
        authority: signs what the agents and Prometheus show each other.
    """

    hosts: Mapping[str, Host]
    port: int
    authority: CertificateAuthority


class MetricsAgent(pulumi.ComponentResource):
    """An exporter of a host's figures on every host, and the certificate with which they are read."""

    variables: dict[str, dict[str, pulumi.Input[Any]]]
    """Host → what the role is told of it; a key is in it."""
    outputs: dict[str, pulumi.Input[Any]]
    """What a Prometheus has to know to read all of them; a key is in it."""

    def __init__(self, name: str, args: MetricsAgentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("dynoform:index:MetricsAgent", name, None, opts)
        self._name, self._args, self.variables = name, args, {}
        for address, host in args.hosts.items():
            self._on(host, address)
        reader = self._certificate("reader")
        self.outputs = {
            "targets": [f"{address}:{args.port}" for address in args.hosts],
            "caCertPem": args.authority.cert_pem,
            "certPem": reader.cert_pem,
            "keyPem": reader.key_pem,
        }
        self.register_outputs({"targets": self.outputs["targets"]})

    def _on(self, host: Host, address: str) -> None:
        shown = self._certificate(host.inventory.name, address)
        variables: dict[str, pulumi.Input[Any]] = {
            "metrics_agent_address": address,
            "metrics_agent_port": self._args.port,
            "metrics_agent_ca_certificate": self._args.authority.cert_pem,
            "metrics_agent_certificate": shown.cert_pem,
        }
        secrets = {"metrics_agent_key": shown.key_pem}
        self.variables[host.inventory.name] = {**variables, **secrets}
        Playbook(
            f"{self._name}-{host.inventory.name}",
            PlaybookArgs(
                playbook="playbooks/metrics_agent.yml",
                absent_playbook="playbooks/metrics_agent_absent.yml",
                host=host.inventory,
                variables=variables,
                secret_variables=secrets,
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[host.playbook]),
        )

    def _certificate(self, noun: str, address: str = "") -> Certificate:
        """That of an agent at an address, or one that a client shows."""
        return Certificate(
            f"{self._name}-{noun}-certificate",
            CertificateArgs(
                common_name=noun,
                ip_addresses=[address] if address else [],
                client=not address,
                ca_cert_pem=self._args.authority.cert_pem,
                ca_key_pem=self._args.authority.key_pem,
            ),
            pulumi.ResourceOptions(parent=self),
        )
