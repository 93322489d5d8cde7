"""``bench``: takes measurements and writes them to docs/reference/benchmarks.md."""

import argparse
from datetime import UTC, datetime

from dynoform.cli.bench import measures, page
from dynoform.cli.bench.measure import Bench
from dynoform.cli.context import Context
from dynoform.errors import InvalidInputError

PAGE = "docs/reference/benchmarks.md"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What `bench` can be told."""
    names = ", ".join(measure.name for measure in measures.MEASURES)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to take: {names} (all)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each, the median counts (3)")
    parser.add_argument("--stack", default="test", metavar="S", help="a stack that may be thrown away (test)")


def run(options: argparse.Namespace, context: Context) -> int:
    """Runs the command. The exit code is 1 when a goal was missed."""
    bench = Bench(context, context.stack(options.stack))
    chosen = [measure for measure in measures.MEASURES if measure.name in options.names or not options.names]
    unknown = sorted(set(options.names) - {measure.name for measure in chosen})
    if unknown:
        names = ", ".join(measure.name for measure in measures.MEASURES)
        raise InvalidInputError(f"bench {unknown[0]}", "is not a measurement", f"there are {names}")
    missed = 0
    for measure in chosen:
        taken = []
        with context.console.step(f"measuring {measure.name}"):
            for _ in range(1 if measure.once else max(1, options.runs)):
                taken.append(measure.run(bench))
        result = page.Result(measure, taken, f"{datetime.now(UTC):%Y-%m-%d}", measures.machine())
        page.write(context.places.root / PAGE, [result])
        context.console.result(result.row())
        missed += result.median > measure.goal
    return 1 if missed else 0
