"""Once a day: does Debian's archive have updates for the stack's images? Apps' owners and the operator read it."""

from collections.abc import Callable, Sequence

from dynoform.build.job import Tools
from dynoform.domain import sbom, security_tracker, stack_updates
from dynoform.domain.security_tracker import Tracker
from dynoform.domain.stack_updates import Update
from dynoform.errors import DynoformError, UnavailableError
from dynoform.store import stack_images
from dynoform.store.tables import StackImage


def fetch(url: str = security_tracker.URL) -> bytes:
    """What Debian's security tracker says. Raises ``UnavailableError``."""
    import httpx

    try:
        answer = httpx.get(url, timeout=security_tracker.SECONDS).raise_for_status()
    except httpx.HTTPError as error:
        why = f"cannot be reached from here ({str(error) or type(error).__name__})"
        raise UnavailableError("Debian's security tracker", why) from error
    return answer.content


def look(tools: Tools, ask_tracker: Callable[[], bytes] = fetch) -> None:
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
        named, why_not = name(found, ask_tracker)
        with tools.store.transaction() as session:
            stack_images.told(session, image.id, named, why_not)
        if found:
            tools.journal.info("stack image has updates", image=image.name, packages=len(found))


def _ask(tools: Tools, image: StackImage, text: str) -> list[Update]:
    packages = sbom.packages(sbom.read(text))
    said = tools.engine.ask(image.name, stack_updates.command(packages), stack_updates.SECONDS)
    return stack_updates.find(packages, said)


def name(updates: Sequence[Update], ask_tracker: Callable[[], bytes]) -> tuple[list[stack_images.Told], str | None]:
    """The updates with the CVEs that each closes, or why these are not known. Nobody is asked about none."""
    if not updates:
        return [], None
    try:
        tracker: Tracker | None = security_tracker.read(ask_tracker())
        why_not = None
    except DynoformError as error:
        tracker, why_not = None, f"{error.what} {error.why}: CVEs are not named."
    return [
        (each, tracker.closed(each.source, each.version, each.candidate) if tracker else None) for each in updates
    ], why_not
