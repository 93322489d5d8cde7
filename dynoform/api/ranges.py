"""Lists in pages: ``Range: version ]12..; max=15, order=desc`` and its answer's ``Next-Range``.

https://devcenter.heroku.com/articles/platform-api-reference#ranges. ``]`` before the start and ``[`` after the end
leave that value out.
"""

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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


def parse(header: str | None, fields: Collection[str]) -> Range:
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
    values = [getattr(row[0], column.key) for row in rows]
    return _answer(wanted, fields, values, [show(*row) for row in rows], more=more)


def cut(objects: Sequence[Mapping[str, Any]], header: str | None, names: Sequence[str]) -> JSONResponse:
    """The part of a short list that the Range header asks for, ordered by one of these fields of its objects.

    Without a header the whole list comes in the order that it has, if it fits on a page.
    """
    wanted = parse(header, names)

    def key(each: Mapping[str, Any]) -> str:
        return _text(each[wanted.field])

    found = sorted((each for each in objects if _within(key(each), wanted)), key=key, reverse=wanted.descending)
    more, found = len(found) > wanted.maximum, found[: wanted.maximum]
    values = [each[wanted.field] for each in found]
    return _answer(wanted, names, values, found if header or more else objects, more=more)


def _answer(
    wanted: Range, names: Iterable[str], values: Sequence[object], objects: Sequence[Mapping[str, Any]], *, more: bool
) -> JSONResponse:
    headers = {"Accept-Ranges": ", ".join(names)}
    if values:
        headers["Content-Range"] = f"{wanted.field} {values[0]}..{values[-1]}; max={wanted.maximum}"
        if more:
            headers["Next-Range"] = str(wanted.after(values[-1]))
    return JSONResponse(objects, 206 if more else 200, headers)


def _within(value: str, wanted: Range) -> bool:
    start, end = (_text(int(text)) if text.isdecimal() else text for text in (wanted.start, wanted.end))
    early = value < start or (wanted.without_start and value == start)
    late = bool(end) and (value > end or (wanted.without_end and value == end))
    return not early and not late


def _text(value: object) -> str:
    """What orders as the value does: numbers by their size."""
    return f"{value:012}" if isinstance(value, int) else str(value)


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


def _with_option(page: Range, option: str, fields: Collection[str]) -> Range:
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


def _unsatisfiable(fields: Collection[str]) -> ApiError:
    names = ", ".join(fields)
    example = f"Range: {next(iter(fields))} ..; max=10"
    message = f"The Range header cannot be satisfied. Use for instance '{example}', with a field of: {names}."
    return ApiError(416, "requested_range_not_satisfiable", message, {"Accept-Ranges": names})
