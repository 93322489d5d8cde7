"""Runs one Pulumi program in this interpreter: the child process behind the language host's ``Run``.

Started by path, so that it needs nothing but the SDK in the program's own virtualenv.
Exit codes are the official executor's: 0, 1, and 32 for "failed, and the reason has been shown already".
"""

import argparse
import asyncio
import logging
import os
import runpy
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

ALREADY_SHOWN = 32
WORKERS_PER_SLOT = 4  # as in the official executor: gRPC calls block a thread each


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a Pulumi program")
    for name in ("monitor", "engine", "project", "stack", "organization", "root_directory", "pwd"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--parallel", type=int)
    parser.add_argument("--dry_run", default="false")
    parser.add_argument("--parent", type=int, default=0, help="process id to live no longer than")
    parser.add_argument("program")
    parser.add_argument("arguments", nargs="*")
    return parser.parse_args()


def _die_with(parent: int) -> None:
    """Leave when the language host is gone: a program without an engine would hang or, worse, act alone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    if parent:
        threading.Thread(target=watch, daemon=True).start()


def _users_frames(error: BaseException, program: str) -> str:
    """The traceback from the program's own first frame on; all of it when the error came from elsewhere."""
    main = os.path.abspath(program if program.endswith(".py") else os.path.join(program, "__main__.py"))
    frames = traceback.extract_tb(error.__traceback__)
    for index, frame in enumerate(frames):
        if os.path.abspath(frame.filename) == main:
            return "".join(traceback.format_exception(error, limit=index - len(frames)))
    return "".join(traceback.format_exception(error))


def _configure(args: argparse.Namespace) -> None:
    from pulumi import runtime

    runtime.set_all_config(runtime.get_config_env(), runtime.get_config_secret_keys_env())
    runtime.configure(
        runtime.Settings(
            monitor=args.monitor,
            engine=args.engine,
            project=args.project,
            stack=args.stack,
            parallel=args.parallel,
            dry_run=args.dry_run == "true",
            organization=args.organization,
            root_directory=args.root_directory,
        )
    )


def _run(args: argparse.Namespace) -> int:
    import pulumi
    from pulumi import runtime

    def run_program() -> None:
        runpy.run_path(args.program, run_name="__main__")

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    executor = ThreadPoolExecutor(max(args.parallel or 1, 1) * WORKERS_PER_SLOT)
    loop.set_default_executor(executor)
    # A failed resource leaves futures that nobody awaits; asyncio's warnings about them would bury the reason.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        loop.run_until_complete(runtime.run_in_stack(run_program))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except Exception as error:  # noqa: BLE001 the program is the user's: whatever it raised is shown and ends the run
        pulumi.log.error("Program failed with an unhandled exception:\n" + _users_frames(error, args.program))
        return ALREADY_SHOWN
    finally:
        executor.shutdown(wait=True)
        loop.close()
    return 0


def main() -> int:
    """Runs the program named on the command line and returns its exit code."""
    args = _arguments()
    _die_with(args.parent)
    try:
        _configure(args)
    except ImportError:
        print(f"{sys.executable}: has no 'pulumi' package — install the project's dependencies", file=sys.stderr)
        return 1
    sys.argv = [args.program, *args.arguments]
    if args.pwd:
        os.chdir(args.pwd)
    return _run(args)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
