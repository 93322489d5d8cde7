"""The plugin's gRPC face: what the engine asks, in plain values and back, secrets kept secret, errors in one line.

Protocol: https://github.com/pulumi/pulumi/blob/master/proto/pulumi/provider.proto, whose messages the SDK brings.
"""

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from providers.engine_log import Log

from .engine import Operation
from .errors import InputError, PartialError, ProviderError
from .resource import Resource, Values
from .values import UNKNOWN, Properties, contains_unknown, from_wire, to_wire

VERSION = "0.1.0"
Answer = TypeVar("Answer")


class Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Serves ``resources``: class name as in the type token ``dynoform:index:<Class>`` → the resource."""

    def __init__(self, resources: Mapping[str, Resource], log: Log) -> None:
        """``log`` takes the messages of running operations."""
        self._resources = resources
        self._log = log
        self._cancelled = threading.Event()

    def Handshake(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ProviderHandshakeResponse:  # noqa: N802 - the protocol's name, as below
        """Secrets are wanted as such, so that they can be given back as such."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:  # noqa: N802
        """The plugin's version."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.GetSchemaResponse:  # noqa: N802
        """The types that are served; the Python classes are in ``components``, so no SDK is generated from it."""
        resources = {f"dynoform:index:{name}": {"description": kind.__doc__} for name, kind in self._resources.items()}
        schema = {"name": "dynoform", "version": VERSION, "resources": resources}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def CheckConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        """The provider itself has no settings."""
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        """Nothing to compare."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ConfigureResponse:  # noqa: N802
        """Nothing to set up; previews are supported."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def Check(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:  # noqa: N802
        """Validates inputs and fills in defaults."""
        given = from_wire(request.news)

        def check(kind: Resource) -> provider_pb2.CheckResponse:
            try:
                values = kind.check(given.values)
            except InputError as error:
                failure = provider_pb2.CheckFailure(property=error.name, reason=error.reason)
                return provider_pb2.CheckResponse(failures=[failure])
            return provider_pb2.CheckResponse(inputs=to_wire(values, given.secret | (kind.secret & set(values))))

        return self._answer(request, context, check)

    def Diff(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:  # noqa: N802
        """What differs between the state and the inputs."""
        olds, news = from_wire(request.olds), from_wire(request.news)

        def diff(kind: Resource) -> provider_pb2.DiffResponse:
            found = kind.diff(olds.values, _without_ignored(news.values, olds.values, request.ignoreChanges))
            kinds = provider_pb2.PropertyDiff
            detail = {
                name: kinds(
                    kind=kinds.UPDATE_REPLACE if name in found.replaces else kinds.UPDATE, inputDiff=name in news.values
                )
                for name in sorted(found.changed)
            }
            some, none = provider_pb2.DiffResponse.DIFF_SOME, provider_pb2.DiffResponse.DIFF_NONE
            return provider_pb2.DiffResponse(
                changes=some if detail else none,
                diffs=sorted(found.changed),
                replaces=sorted(found.replaces),
                detailedDiff=detail,
                hasDetailedDiff=True,
                deleteBeforeReplace=found.delete_first,
            )

        return self._answer(request, context, diff)

    def Create(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:  # noqa: N802
        """Makes the resource; a preview answers its inputs and unknown outputs."""
        inputs = from_wire(request.properties)

        def create(kind: Resource) -> provider_pb2.CreateResponse:
            if request.preview:
                return provider_pb2.CreateResponse(properties=_seal(kind, _previewed(kind, inputs.values), inputs))
            identifier, values = kind.create(self._operation(request), inputs.values)
            return provider_pb2.CreateResponse(id=identifier, properties=_seal(kind, values, inputs))

        return self._answer(request, context, create, inputs)

    def Read(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.ReadResponse:  # noqa: N802
        """The resource as it is now; an empty id when it is gone."""
        state, inputs = from_wire(request.properties), from_wire(request.inputs)
        state.secret |= inputs.secret

        def read(kind: Resource) -> provider_pb2.ReadResponse:
            values = kind.read(self._operation(request), request.id, state.values)
            if values is None:
                return provider_pb2.ReadResponse()
            # An import has no inputs: they are what there is.
            declared = [name for name in (*kind.required, *kind.optional) if name in values]
            found = request.inputs if inputs.values else to_wire({name: values[name] for name in declared}, kind.secret)
            return provider_pb2.ReadResponse(id=request.id, properties=_seal(kind, values, state), inputs=found)

        return self._answer(request, context, read, state)

    def Update(self, request: Any, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:  # noqa: N802
        """Changes the resource in place."""
        olds, news = from_wire(request.olds), from_wire(request.news)

        def update(kind: Resource) -> provider_pb2.UpdateResponse:
            if request.preview:
                return provider_pb2.UpdateResponse(properties=_seal(kind, _previewed(kind, news.values), news))
            values = _without_ignored(news.values, olds.values, request.ignoreChanges)
            changed = kind.update(self._operation(request), request.id, olds.values, values)
            return provider_pb2.UpdateResponse(properties=_seal(kind, changed, news))

        return self._answer(request, context, update, news)

    def Delete(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Removes the resource."""
        state = from_wire(request.properties)

        def delete(kind: Resource) -> empty_pb2.Empty:
            kind.delete(self._operation(request), request.id, state.values)
            return empty_pb2.Empty()

        return self._answer(request, context, delete, state)

    def Cancel(self, request: Any, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Ends everything that runs, soon and in order."""
        self._cancelled.set()
        return empty_pb2.Empty()

    def _operation(self, request: Any) -> Operation:
        return Operation(request.urn, self._log, self._cancelled, getattr(request, "timeout", 0.0))

    def _answer(
        self,
        request: Any,
        context: grpc.ServicerContext,
        ask: Callable[[Resource], Answer],
        properties: Properties | None = None,
    ) -> Answer:
        name = request.urn.split("::")[-2].rsplit("$", 1)[-1].rsplit(":", 1)[-1]
        kind = self._resources.get(name)
        if kind is None:
            _abort(context, f"dynoform:index:{name}: this provider has no such resource")
        try:
            return ask(kind)
        except PartialError as error:
            _tell_partial(context, error, kind, properties or Properties())
            _abort(context, str(error))
        except ProviderError as error:
            _abort(context, str(error))


def _previewed(kind: Resource, inputs: Values) -> Values:
    return {**inputs, **dict.fromkeys(kind.computed, UNKNOWN)}


def _seal(kind: Resource, values: Values, known: Properties) -> Any:
    """Wire form of outputs: secret are those the resource says and those that came in as a secret."""
    return to_wire(values, kind.secret | known.secret)


def _without_ignored(news: Values, olds: Values, ignored: Iterable[str]) -> Values:
    """``ignoreChanges``: the old value stands for the new one."""
    return {**news, **{name: olds[name] for name in ignored if name in olds and name in news}}


def _tell_partial(context: grpc.ServicerContext, error: PartialError, kind: Resource, properties: Properties) -> None:
    """Tells the engine that the resource exists but failed: it goes to the state and is updated next time."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.identifier, properties=_seal(kind, error.outputs, properties), reasons=[str(error)]
    )
    known_inputs = {name: value for name, value in properties.values.items() if not contains_unknown(value)}
    detail.inputs.CopyFrom(to_wire(known_inputs, properties.secret))
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(detail)
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))


def _abort(context: grpc.ServicerContext, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError("abort always raises")
