"""Once a day: does Debian's archive have updates for the stack's images? Apps' owners and the operator read it."""

from dynoform.build.job import Tools
from dynoform.domain import sbom, stack_updates
from dynoform.errors import DynoformError
from dynoform.store import stack_images
from dynoform.store.tables import StackImage


def look(tools: Tools) -> None:
    """Ask the mirror, if it is time, and write down what it says. Raises ``UnavailableError`` of the store's."""
    for image in stack_images.to_ask(tools.store):
        if image.sbom is None:
            continue
        try:
            found = _ask(tools, image, image.sbom)
        except DynoformError as error:
            tools.journal.warning("updates of the stack image are not known", image=image.name, error=error)
            with tools.store.transaction() as session:
                stack_images.not_told(session, image.id, str(error))
            return
        with tools.store.transaction() as session:
            stack_images.told(session, image.id, found)
        if found:
            tools.journal.info("stack image has updates", image=image.name, packages=len(found))


def _ask(tools: Tools, image: StackImage, text: str) -> list[stack_updates.Update]:
    packages = sbom.packages(sbom.read(text))
    return stack_updates.find(
        packages, tools.engine.ask(image.name, stack_updates.command(packages), stack_updates.SECONDS)
    )
