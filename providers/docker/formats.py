"""Forms that values have in programs and in Docker: Go's durations, capabilities, sizes of names. Pure."""

import re
from decimal import Decimal
from typing import Final

UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
"""Nanoseconds of each unit of https://pkg.go.dev/time#ParseDuration."""

PART: Final = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as ``1m30s``; ``""`` and ``0`` are 0. Raises ``ValueError``."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest in ("", "0"):
        return 0
    if not re.fullmatch(f"(?:{PART.pattern})+", rest):
        raise ValueError(f"'{text}' is not a valid duration")
    return sign * int(sum(Decimal(number) * UNITS[unit] for number, unit in PART.findall(rest)))


def format_duration(nanoseconds: int) -> str:
    """Go's way to write it: ``1m30s``, ``3m0s``, ``1.5s``, ``500ms``, ``0s``."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < UNITS["s"]:
        for unit in ("ms", "us", "ns"):
            if rest >= UNITS[unit]:
                return f"{sign}{_decimal(rest, UNITS[unit])}{'µs' if unit == 'us' else unit}"
        return "0s"
    hours, rest = divmod(rest, UNITS["h"])
    minutes, rest = divmod(rest, UNITS["m"])
    seconds = f"{_decimal(rest, UNITS['s'])}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def shortest_duration(nanoseconds: int) -> str:
    """As the state shows it: without parts that are zero (``1m``, not ``1m0s``)."""
    text = format_duration(nanoseconds)
    text = text.removesuffix("0s") if text.endswith("m0s") else text
    return text.removesuffix("0m") if text.endswith("h0m") else text


def bare_capability(name: str) -> str:
    """``cap_net_admin``, ``NET_ADMIN`` and ``CAP_NET_ADMIN`` are one."""
    return name.upper().removeprefix("CAP_")


def snake_case(name: str) -> str:
    """``stopGracePeriod`` → ``stop_grace_period``."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _decimal(value: int, unit: int) -> str:
    whole, fraction = divmod(value, unit)
    digits = f"{fraction:0{len(str(unit)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
