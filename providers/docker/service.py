"""``docker:index/service:Service``: a Swarm service."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Final

from .diff import planned
from .engine import Engine
from .errors import DockerPluginError, EngineError, MissingError, PartialError
from .formats import parse_duration
from .operation import Operation
from .properties import Property
from .registry_auth import auth_header, credentials
from .resource import Found, Resource, Values
from .service_progress import rolls
from .service_schema import SCHEMA
from .service_spec import service_spec, updated_spec
from .service_state import service_state
from .service_wait import wait_converged, wait_gone

CONFLICT_SECONDS: Final = 30.0
"""How long an update tries again because somebody else changes the service at the same time."""


class Service(Resource):
    """A Swarm service."""

    token: ClassVar[str] = "docker:index/service:Service"  # noqa: S105 - a type's name
    schema: ClassVar[Property] = SCHEMA

    def adapted(self, state: Mapping[str, Any], inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the program's image name where the engine only completed it."""
        image, wanted = _image(state), _image(inputs)
        if not isinstance(wanted, str) or not isinstance(image, str) or not same_image(image, wanted):
            return state
        task = state["taskSpec"]
        return {**state, "taskSpec": {**task, "containerSpec": {**task["containerSpec"], "image": wanted}}}

    def create(self, operation: Operation, engine: Engine, inputs: Values) -> Found:
        """Makes it; with ``convergeConfig`` waits until it runs, and removes it again if it does not."""
        made = engine.post("/services/create", service_spec(inputs), headers=_auth(engine, inputs))
        identifier: str = made["ID"]
        converge = inputs.get("convergeConfig")
        if converge:
            try:
                wait_converged(operation, engine, identifier, converge, rolls=False, update=False)
            except DockerPluginError:
                with suppress(EngineError), engine.api() as client:
                    client.remove_service(identifier)
                raise
        return Found(identifier, self._state(engine, identifier, inputs))

    def read(self, operation: Operation, engine: Engine, identifier: str, known: Values) -> Found | None:
        """By id; a name is not taken."""
        try:
            with engine.api() as client:
                found = client.inspect_service(identifier)
        except MissingError:
            return None
        if found["ID"] != identifier:
            return None
        return Found(identifier, self._outputs(engine, found, known))

    def update(self, operation: Operation, engine: Engine, identifier: str, state: Values, inputs: Values) -> Values:
        """Changes it; ``inputs`` are the program's, ``state`` fills in what they leave open."""
        plan = planned(SCHEMA, state, inputs)
        rolling = self._submit(operation, engine, identifier, plan, inputs)
        converge = inputs.get("convergeConfig")
        if converge:
            try:
                wait_converged(operation, engine, identifier, converge, rolls=rolling, update=True)
            except DockerPluginError as error:
                raise PartialError(str(error), self._state(engine, identifier, plan)) from error
        return self._state(engine, identifier, plan)

    def delete(self, operation: Operation, engine: Engine, identifier: str, state: Values) -> None:
        """Removes it; where a stop grace period is set, waits for its containers to end."""
        try:
            with engine.api() as client:
                client.remove_service(identifier)
        except MissingError:
            return
        container = (state.get("taskSpec") or {}).get("containerSpec") or {}
        grace = parse_duration(container.get("stopGracePeriod") or "0s")
        if grace:
            wait_gone(operation, engine, identifier, grace)

    def _submit(self, operation: Operation, engine: Engine, identifier: str, plan: Values, inputs: Values) -> bool:
        """Sends the update against the engine's present version; returns whether tasks will be replaced."""
        problem: EngineError | None = None
        for _ in operation.attempts(CONFLICT_SECONDS):
            before = self._inspect(engine, identifier)
            spec = updated_spec(plan, inputs, before["Spec"])
            version = {"version": before["Version"]["Index"]}
            try:
                engine.post(f"/services/{identifier}/update", spec, version, _auth(engine, inputs))
            except EngineError as error:
                if "update out of sequence" not in str(error):
                    raise
                problem = error
                continue
            return rolls(before["Spec"], self._inspect(engine, identifier)["Spec"])
        raise problem or EngineError(f"service {identifier}: was not updated")

    def _inspect(self, engine: Engine, identifier: str) -> Mapping[str, Any]:
        with engine.api() as client:
            found: Mapping[str, Any] = client.inspect_service(identifier)
        return found

    def _state(self, engine: Engine, identifier: str, known: Values) -> Values:
        return self._outputs(engine, self._inspect(engine, identifier), known)

    def _outputs(self, engine: Engine, found: Mapping[str, Any], known: Values) -> Values:
        outputs = service_state(found["Spec"], known)
        written = (known.get("taskSpec") or {}).get("networksAdvanceds") or []
        for network in outputs["taskSpec"]["networksAdvanceds"]:
            _as_written(engine, network, written)
        return outputs


def same_image(state: str, wanted: str) -> bool:
    """Whether the engine's image is the program's with the default tag or the digest that it resolved added."""
    if "@" not in wanted:
        state = state.split("@", 1)[0]
    return state in (wanted, f"{wanted}:latest")


def _image(values: Mapping[str, Any]) -> Any:
    task = values.get("taskSpec")
    container = task.get("containerSpec") if isinstance(task, Mapping) else None
    return container.get("image") if isinstance(container, Mapping) else None


def _auth(engine: Engine, inputs: Values) -> dict[str, str]:
    return auth_header(credentials(str(_image(inputs)), engine.configuration.registries, inputs.get("auth")))


def _as_written(engine: Engine, network: Values, written: list[Values]) -> None:
    """The engine answers with a network's id; keeps a name where the program (or the state) has one."""
    names = {each.get("id") or each.get("name") for each in written if isinstance(each, Mapping)} - {
        network["id"],
        None,
        "",
    }
    if not names:
        return
    try:
        with engine.api() as client:
            name = client.inspect_network(network["id"])["Name"]
    except EngineError:
        return
    if name in names:
        by_id = any(each.get("id") == name for each in written)
        network.update({"id": name, "name": ""} if by_id else {"id": "", "name": name})
