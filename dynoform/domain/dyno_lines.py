"""What Heroku's dyno manager writes to an app's log, word for word (https://devcenter.heroku.com/articles/error-codes)."""

EXIT_SECONDS = 30
"""Time between SIGTERM and SIGKILL."""

RESTARTING = "Restarting"
CYCLING = "Cycling"
IDLING = "Idling"
UNIDLING = "Unidling"
STOPPING = "Stopping all processes with SIGTERM"
KILLING = "Stopping process with SIGKILL"
BOOT_TIMEOUT = "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch"
EXIT_TIMEOUT = "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM"
MEMORY_EXCEEDED = "Error R14 (Memory quota exceeded)"
MEMORY_VASTLY_EXCEEDED = "Error R15 (Memory quota vastly exceeded)"
ATTACH_FAILED = "Error R13 (Attach error) -> Failed to attach to process"
AWAITING_CLIENT = "Awaiting client"
HANGING_UP = "Client connection closed. Sending SIGHUP to all processes"
LAUNCH_FAILED = "Error R99 (Platform error) -> Failed to launch the dyno"
_KILLED = 137
_NO_IMAGE = ("no such image", "manifest unknown", "not found")
_LOGGED_AS = {"idle": "down"}


def state_changed(before: str, after: str) -> str:
    """``State changed from starting to up``. A dyno that sleeps is ``idle`` to the API and ``down`` in the log."""
    return f"State changed from {_LOGGED_AS.get(before, before)} to {_LOGGED_AS.get(after, after)}"


def starting(command: str) -> str:
    """The line at each start of a process."""
    return f"Starting process with command `{command}`"


def launch_failed(why: str) -> str:
    """The line for a dyno that the engine could not start, for the reason ``why``, with what the app's owner can do."""
    if any(words in why.lower() for words in _NO_IMAGE):  # the engine's words also when the registry is away
        return f"{LAUNCH_FAILED}: its image cannot be had, tried again soon; if this stays so, deploy the app again"
    return LAUNCH_FAILED


def run_by_user(command: str, email: str) -> str:
    """The API's line for a one-off dyno that somebody asked for."""
    return f"Starting process with command `{command}` by user {email}"


def exec_by_user(dyno: str, email: str) -> str:
    """The API's line for a key to a dyno that somebody asked for (``heroku ps:exec``)."""
    return f"Opening Heroku Exec to {dyno} by user {email}"


def disk_full(written_bytes: int) -> list[str]:
    """The lines for a dyno that is stopped as its host's disk is nearly full; Heroku has no error of its own for it."""
    reason = f"The disk of its host is full, and the dyno has written {written_bytes // 1_000_000} MB"
    return [f"Error R99 (Platform error) -> {reason}", KILLING]


def exited(code: int) -> str:
    """The line at each end of a process."""
    return f"Process exited with status {code}"


def stopped(code: int, seconds: float | None) -> list[str]:
    """Lines for a process that ended with ``code``, ``seconds`` after SIGTERM (None: nobody had asked it to)."""
    if code == _KILLED and seconds is not None and seconds >= EXIT_SECONDS - 1:
        return [EXIT_TIMEOUT, KILLING, exited(code)]
    return [exited(code)]
