"""Lists in pages: ``Range: version ]12..; max=15, order=desc`` and its answer's ``Next-Range``.

https://devcenter.heroku.com/articles/platform-api-reference#ranges. ``]`` before the start and ``[`` after the end
leave that value out.
"""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session
from starlette.responses import JSONResponse

from dynoform.api.errors import ApiError

DEFAULT_MAXIMUM = 200
LIMIT = 1000
_RANGE = re.compile(
    r"\s*(?P<field>\w+)\s+(?P<open>\]?)(?P<start>[^\s.;\[\]]*)\.\.(?P<end>[^\s.;\[\]]*)(?P<shut>\[?)\s*(;(?P<options>.*))?"
)
_OPTION = re.compile(r"(max)=(\d{1,9})|(order)=(asc|desc)")

Fields = Mapping[str, InstrumentedAttribute[Any]]
"""Field → unique column that the list may be ordered by; the first is the default."""


@dataclass(frozen=True)
class Range:
    """One page of a list."""

    field: str
    start: str = ""
    end: str = ""
    without_start: bool = False
    without_end: bool = False
    maximum: int = DEFAULT_MAXIMUM
    descending: bool = False

    def __str__(self) -> str:
        """As it stands in a header."""
        start = f"{']' if self.without_start else ''}{self.start}"
        end = f"{self.end}{'[' if self.without_end else ''}"
        return f"{self.field} {start}..{end}; max={self.maximum}{', order=desc' if self.descending else ''}"

    def after(self, last: object) -> "Range":
        """The page that follows one whose last item has this value."""
        if self.descending:
            return replace(self, end=str(last), without_end=True)
        return replace(self, start=str(last), without_start=True)


def parse(header: str | None, fields: Fields) -> Range:
    """The page that a Range header asks for. Raises ``ApiError`` 416 for one that cannot be understood."""
    if not header or not header.strip():
        return Range(next(iter(fields)))
    match = _RANGE.fullmatch(header)
    if match is None or match["field"] not in fields:
        raise _unsatisfiable(fields)
    page = Range(match["field"], match["start"], match["end"], bool(match["open"]), bool(match["shut"]))
    for option in filter(None, re.split(r"[,;\s]+", match["options"] or "")):
        page = _with_option(page, option, fields)
    return page


def page(
    session: Session,
    query: Select[*tuple[Any, ...]],
    header: str | None,
    fields: Fields,
    show: Callable[..., Mapping[str, Any]],
) -> JSONResponse:
    """The part of ``query`` that the Range header asks for: 200 when the list ends there, 206 when there is more.

    The first entity of each row has the fields; ``show`` turns a row's columns into the resource's object.
    """
    wanted = parse(header, fields)
    column = fields[wanted.field]
    order = column.desc() if wanted.descending else column.asc()
    limited = _bounded(query, wanted, column, fields).order_by(order).limit(wanted.maximum + 1)
    rows = session.execute(limited).all()
    more, rows = len(rows) > wanted.maximum, rows[: wanted.maximum]
    headers = {"Accept-Ranges": ", ".join(fields)}
    if rows:
        first, last = (getattr(row[0], column.key) for row in (rows[0], rows[-1]))
        headers["Content-Range"] = f"{wanted.field} {first}..{last}; max={wanted.maximum}"
        if more:
            headers["Next-Range"] = str(wanted.after(last))
    return JSONResponse([show(*row) for row in rows], 206 if more else 200, headers)


def _bounded(
    query: Select[*tuple[Any, ...]], wanted: Range, column: InstrumentedAttribute[Any], fields: Fields
) -> Select[Any]:
    if wanted.start:
        start = _value(wanted.start, column, fields)
        query = query.where(column > start if wanted.without_start else column >= start)
    if wanted.end:
        end = _value(wanted.end, column, fields)
        query = query.where(column < end if wanted.without_end else column <= end)
    return query


def _with_option(page: Range, option: str, fields: Fields) -> Range:
    match = _OPTION.fullmatch(option)
    if match is None or match[2] == "0":
        raise _unsatisfiable(fields)
    if match[1]:
        return replace(page, maximum=max(1, min(int(match[2]), LIMIT)))
    return replace(page, descending=match[4] == "desc")


def _value(text: str, column: InstrumentedAttribute[Any], fields: Fields) -> Any:
    kind = column.type.python_type
    try:
        if kind is int and len(text) > 9:
            raise ValueError
        return kind(text) if kind in (int, uuid.UUID) else text.replace("\0", "")
    except ValueError:
        raise _unsatisfiable(fields) from None


def _unsatisfiable(fields: Fields) -> ApiError:
    names = ", ".join(fields)
    example = f"Range: {next(iter(fields))} ..; max=10"
    message = f"The Range header cannot be satisfied. Use for instance '{example}', with a field of: {names}."
    return ApiError(416, "requested_range_not_satisfiable", message, {"Accept-Ranges": names})
