"""The pack's gRPC face: resources in, what is wrong with them out.

Protocol: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/analyzer.proto, whose messages the SDK brings.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, plugin_pb2

from policies import rules
from policies.rules import Declared, Limits
from providers.dynoform.values import UNKNOWN, from_wire

NAME, VERSION = "dynoform-production", "0.1.0"


@dataclass(frozen=True)
class Policy:
    """One rule, as operators know it.

    Parameters:
        name: by which it is set, and told when it is broken.
        description: what must hold.
        one: looks at a single resource; None for one that looks at all.
        limits: those of ``Limits`` that it goes by.
    """

    name: str
    description: str
    one: Callable[[Declared, Limits], Iterator[str]] | None = None
    limits: tuple[str, ...] = ()

    def info(self) -> analyzer_pb2.PolicyInfo:
        """As the engine is told of it."""
        default = asdict(Limits())
        known = {name: {"type": "integer", "minimum": 0, "default": default[name]} for name in self.limits}
        schema = analyzer_pb2.PolicyConfigSchema(properties=json_format.ParseDict(known, struct_pb2.Struct()))
        return analyzer_pb2.PolicyInfo(
            name=self.name,
            description=self.description,
            enforcementLevel=analyzer_pb2.MANDATORY,
            configSchema=schema if known else None,
        )


POLICIES = (
    Policy(
        "no-public-data-ports",
        "Everybody reaches routers and nothing else.",
        lambda one, _: rules.public_ports(one),
    ),
    Policy("encryption", "Disks are encrypted, secrets are secrets.", lambda one, _: rules.encryption(one)),
    Policy("size-limits", "Nothing is larger than was agreed.", rules.sizes, ("dynos", "xlarge", "disk")),
    Policy("high-availability", "A host or a zone may be lost.", limits=("managers", "zones", "web_dynos")),
)


class Servicer(analyzer_pb2_grpc.AnalyzerServicer):
    """Goes by ``POLICIES``; each has to be kept to unless it is configured otherwise."""

    # ruff: noqa: N802 method names are the protocol's

    def __init__(self) -> None:
        """Nothing is configured yet."""
        self._configured: dict[str, analyzer_pb2.PolicyConfig] = {}

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> analyzer_pb2.AnalyzerHandshakeResponse:
        """Nothing is needed of the engine."""
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        """The pack's version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: grpc.ServicerContext) -> analyzer_pb2.AnalyzerInfo:
        """The policies."""
        policies = [each.info() for each in POLICIES]
        return analyzer_pb2.AnalyzerInfo(name=NAME, version=VERSION, supportsConfig=True, policies=policies)

    def ConfigureStack(
        self, request: Any, context: grpc.ServicerContext
    ) -> analyzer_pb2.AnalyzerStackConfigureResponse:
        """The same rules hold for every stack."""
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Configure(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:
        """Takes what ``--policy-pack-config`` says."""
        self._configured = dict(request.policyConfig)
        return empty_pb2.Empty()

    def Analyze(self, request: Any, context: grpc.ServicerContext) -> analyzer_pb2.AnalyzeResponse:
        """Looks at a resource before it is made or changed."""
        one = _declared(request)
        found = [
            self._violation(policy, message, request.urn)
            for policy in POLICIES
            if policy.one and self._level(policy) != analyzer_pb2.DISABLED
            for message in policy.one(one, self._limits(policy))
        ]
        return analyzer_pb2.AnalyzeResponse(diagnostics=found)

    def AnalyzeStack(self, request: Any, context: grpc.ServicerContext) -> analyzer_pb2.AnalyzeResponse:
        """Looks at all resources together."""
        stack = [_declared(each) for each in request.resources]
        found = [
            self._violation(policy, message, "")
            for policy in POLICIES
            if not policy.one and self._level(policy) != analyzer_pb2.DISABLED
            for message in rules.availability(stack, self._limits(policy))
        ]
        return analyzer_pb2.AnalyzeResponse(diagnostics=found)

    def Remediate(self, request: Any, context: grpc.ServicerContext) -> analyzer_pb2.RemediateResponse:
        """Nothing is changed here: who declared it does that."""
        return analyzer_pb2.RemediateResponse()

    def Cancel(self, request: Any, context: grpc.ServicerContext | None) -> empty_pb2.Empty:
        """Nothing takes long."""
        return empty_pb2.Empty()

    def _level(self, policy: Policy) -> int:
        """How much the policy counts; an analysis without a configuration is one with the pack's own."""
        known = self._configured.get(policy.name)
        return int(known.enforcementLevel if known else analyzer_pb2.MANDATORY)

    def _limits(self, policy: Policy) -> Limits:
        known = self._configured.get(policy.name)
        given: Mapping[str, Any] = json_format.MessageToDict(known.properties) if known else {}
        return Limits(**{each.name: int(given[each.name]) for each in fields(Limits) if each.name in given})

    def _violation(self, policy: Policy, message: str, urn: str) -> analyzer_pb2.AnalyzeDiagnostic:
        return analyzer_pb2.AnalyzeDiagnostic(
            policyName=policy.name,
            policyPackName=NAME,
            policyPackVersion=VERSION,
            description=policy.description,
            message=message,
            enforcementLevel=self._level(policy),  # type: ignore[arg-type] # an enumeration's number
            urn=urn,
        )


def _declared(request: Any) -> Declared:
    """A resource as the rules have it."""
    values = _known(from_wire(request.properties).values)
    return Declared(request.type, request.name, values, bool(request.options.protect))


def _known(value: Any) -> Any:
    """Without what a preview does not know yet: `up` looks at that."""
    if isinstance(value, dict):
        return {name: _known(inner) for name, inner in value.items() if inner is not UNKNOWN}
    return [_known(inner) for inner in value if inner is not UNKNOWN] if isinstance(value, list) else value
