"""Text as people and systems write it, read as amounts, counts, flags, days and times: only where one reading exists.

What can be read in two ways ("1.234", "03/04/2024") is unreadable until the source declares how it is written, and so
is an amount in another currency than the market's. An unreadable text can be seen and counted; a wrong value cannot.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any, TypeVar

from closedloop.market.reading.words import meanings, words

_MINUS = dict.fromkeys(map(ord, "−–‒﹣－"), "-")
_BLANKS = {ord(sign): " " for sign in "\u00a0\u202f\u2009\u2007\t"}
_MARKS = dict.fromkeys(map(ord, "’‘ʼ´"), "'")
_PLAIN = _MINUS | _BLANKS | _MARKS

_AMOUNT = re.compile(
    r"(?P<sign>[-+]?) ?(?P<before>(?:[^\W\d_]{0,3}[^\w\s.,'()+-]|[^\W\d_]{1,3}\.?)?) ?(?P<inner>[-+]?) ?"
    r"(?P<number>[0-9.,][0-9.,' ]*?) ?(?P<after>[^0-9\s.,'()+-]*\.?(?: ?[^0-9\s.,'()+-]+\.?)?) ?(?P<end>-?)"
)
_LARGEST = Decimal(10) ** 16
_IN_NUMBERS = re.compile(r"(\d{1,4})([-/. ])(\d{1,2})\2(\d{4}|\d{1,2})")
_DIGITS = re.compile(r"(\d{4})(\d{2})(\d{2})")
_DAY_FIRST = re.compile(r"(\d{1,2})(?:st|nd|rd|th|\.)?[ -]?(?:de )?([^\W\d_]{3,10})\.?,?[ -]?(?:de )?(\d{4}|\d{2})")
_MONTH_FIRST = re.compile(r"([^\W\d_]{3,10})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
_YEAR_FIRST = re.compile(r"(\d{4})[ -]([^\W\d_]{3,10})\.?[ -](\d{1,2})")
_MONTH = re.compile(r"(\d{1,2}|[^\W\d_]{3,10})\.?[-/. ]((?:19|20)\d{2})")
_MONTH_LAST = re.compile(r"((?:19|20)\d{2})[-/. ](\d{1,2}|[^\W\d_]{3,10})\.?")
_CLOCK = re.compile(
    r"(?P<day>.+?)(?:[T,]|,? )(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})"
    r"(?:[:.](?P<second>\d{2})(?:[.,](?P<part>\d{1,9}))?)? ?(?P<half>[AaPp]\.?[Mm]\.?)?"
    r" ?(?P<zone>Z|(?:UTC|GMT)?[+-]\d{1,2}(?::?\d{2})?|UTC|GMT)?"
)
Value = TypeVar("Value")
ORDERS = ("YMD", "DMY", "MDY")
TWO_WAYS = "it can be read in two ways"
TO_MEND = "; to mend: "  # behind what was found
_CENTURY_FROM = 70  # "70" is 1970, "69" is 2069


class Unreadable(ValueError):
    """A text that is not read; the message says why, or is empty where it is simply something else."""


@dataclass(frozen=True)
class Style:
    """How a source is written. ``decimal``: "." or ","; ``dates``: one of ORDERS; None where it is not declared.

    ``zone``: where its times were written; ``local``: where the market counts days. ``currency``: the market's.
    """

    currency: str
    decimal: str | None = None
    dates: str | None = None
    zone: tzinfo | None = None
    local: tzinfo = UTC


def number(text: str, style: Style) -> Decimal:
    """A number with or without marks for thousands; "12 %" is 0.12."""
    plain = text.strip().translate(_PLAIN)
    share = plain.endswith("%")
    found = _one_of(_numbers(plain.rstrip("% "), style.decimal))
    return found / 100 if share else found


def count(text: str, style: Style) -> int:
    """A whole number; "1,234" has one reading as such."""
    plain = text.strip().translate(_PLAIN)
    found = _one_of({value for value in _numbers(plain, style.decimal) if value == value.to_integral_value()})
    return int(found)


def amount(text: str, style: Style) -> Decimal:
    """An amount in the market's currency, named or not; "(500)" is -500, "342.09K" is 342,090."""
    parts, is_credit = _parts(text)
    signs = [parts[name] for name in ("sign", "inner", "end") if parts[name]] + ["-"] * is_credit
    if len(signs) > 1:
        raise Unreadable
    times, named = _tail(parts["after"])
    for name in filter(None, (parts["before"].strip(), named)):
        _check_currency(name, style)
    found = _one_of(_numbers(parts["number"], style.decimal)) * times
    if found >= _LARGEST:
        raise Unreadable("too large")
    return -found if "-" in signs else found


def _parts(text: str) -> tuple[re.Match[str], bool]:
    """The parts of an amount, and whether it stands in parentheses."""
    plain = text.strip().translate(_PLAIN)
    is_credit = plain.startswith("(") and plain.endswith(")")
    parts = _AMOUNT.fullmatch(plain[1:-1].strip() if is_credit else plain)
    if parts is None:
        raise Unreadable
    return parts, is_credit


def currency_in(text: str) -> str:
    """The sign or code of a currency with which an amount is written; empty without one, and for other text."""
    try:
        parts, _ = _parts(text)
        names = parts["before"].strip(), _tail(parts["after"])[1]
    except Unreadable:
        return ""
    return next((name for name in names if currencies(name)), "")


def currencies(name: str) -> tuple[str, ...]:
    """The currencies that a sign or a code in capital letters may stand for; none for another word."""
    is_code = bool(re.fullmatch("[A-Z]{3}", name)) and name.casefold() not in meanings("months")
    return tuple(words("currencies").get(name.casefold().rstrip("."), (name,) if is_code else ()))


@cache
def _multiples() -> dict[str, int]:
    return {text: int(times) for text, times in meanings("multiples").items()}


def _tail(text: str) -> tuple[int, str]:
    """What stands behind a number: how many times it counts, and a currency."""
    parts = text.replace(".", " ").split()
    if not parts:
        return 1, ""
    first = parts[0].casefold()
    if len(parts) == 1 and first not in _multiples():
        for short in ("k", "m"):  # k€, but kr
            if first.startswith(short) and first[1:] in words("currencies") and first not in words("currencies"):
                return _multiples()[short], parts[0][1:]
        return 1, parts[0]
    if first not in _multiples():
        raise Unreadable
    return _multiples()[first], parts[1] if len(parts) > 1 else ""


def _check_currency(name: str, style: Style) -> None:
    codes = words("currencies").get(name.casefold().rstrip("."))
    is_code = len(name) == 3 and name.isascii() and name.isalpha()
    if codes is None and not is_code and unicodedata.category(name[-1]) != "Sc":
        raise Unreadable
    if style.currency not in (codes or (name.upper(),)):
        raise Unreadable(f"in {name}, and the market counts in {style.currency}")


def _numbers(text: str, decimal: str | None) -> set[Decimal]:
    """Every value that the text can stand for."""
    plain, found = text.lstrip("+-"), set[Decimal]()
    sign = -1 if text.startswith("-") else 1
    for point in (decimal,) if decimal else (".", ","):
        whole, _, part = plain.partition(point)
        if (part and not (part.isascii() and part.isdigit())) or not (whole or part):
            continue
        digits = _without_thousands(whole, "," if point == "." else ".")
        if digits is not None:
            found.add(sign * Decimal(f"{digits or 0}.{part or 0}"))
    return found


def _without_thousands(whole: str, mark: str) -> str | None:
    if not whole or (whole.isascii() and whole.isdigit()):
        return whole
    for thousands in (mark, " ", "'"):
        first, *groups = whole.split(thousands)
        is_grouped = groups and all(len(group) == 3 for group in groups) and 1 <= len(first) <= 3
        is_indian = mark == thousands == "," and groups and len(groups[-1]) == 3 and 1 <= len(first) <= 2
        is_indian = is_indian and all(len(group) == 2 for group in groups[:-1])
        digits = first + "".join(groups)
        if (is_grouped or is_indian) and not first.startswith("0") and digits.isascii() and digits.isdigit():
            return digits
    return None


def _one_of(values: set[Value]) -> Value:
    if len(values) != 1:
        raise Unreadable(TWO_WAYS if values else "")
    return values.pop()


def flag(text: str, style: Style) -> bool:
    """Yes or no, as boxes and words in English, German, French, Spanish, Dutch and Portuguese say it."""
    found = meanings("flags").get(text.strip().casefold())
    if found is None:
        raise Unreadable
    return found == "yes"


def day(text: str, style: Style) -> date:
    """A day where the market counts days; one without a time of day, or at midnight sharp, never moves."""
    plain = " ".join(text.translate(_BLANKS | _MINUS).split())
    clock = _CLOCK.fullmatch(plain)
    if clock and not clock["half"] and not any(int(clock[part] or 0) for part in ("hour", "minute", "second", "part")):
        return _day(clock["day"], style)
    found = moment(text, style)
    return found.date() if isinstance(found, datetime) else found


def month(text: str, style: Style) -> date:  # readers are called alike
    """The first day of a month: "2024-02", "02/2024", "Feb 2024"."""
    plain = " ".join(text.translate(_BLANKS | _MINUS).split())
    for pattern, (year, name) in ((_MONTH, (2, 1)), (_MONTH_LAST, (1, 2))):
        if parts := pattern.fullmatch(plain):
            number = parts[name] if parts[name].isdigit() else meanings("months").get(parts[name].casefold(), "0")
            return _one_of(_days([(parts[year], number, "1")]))
    raise Unreadable


def time(text: str, style: Style) -> datetime:
    """A time on the market's clock; midnight where only a day is written."""
    found = moment(text, style)
    return found if isinstance(found, datetime) else datetime(found.year, found.month, found.day)


def moment(text: str, style: Style) -> date | datetime:
    """A day, or a time on the market's clock."""
    plain = " ".join(text.translate(_BLANKS | _MINUS).split())
    clock = _CLOCK.fullmatch(plain)
    found = _day(clock["day"] if clock else plain, style)
    if clock is None:
        return found
    hour = int(clock["hour"])
    if clock["half"]:
        if not 1 <= hour <= 12:
            raise Unreadable
        hour = hour % 12 + 12 * (clock["half"][0] in "pP")
    part = int((clock["part"] or "0").ljust(6, "0")[:6])
    try:
        at = datetime(found.year, found.month, found.day, hour, int(clock["minute"]), int(clock["second"] or 0), part)
        zone = _zone(clock["zone"]) if clock["zone"] else style.zone
        return at.replace(tzinfo=zone).astimezone(style.local).replace(tzinfo=None) if zone else at
    except (ValueError, OverflowError):
        raise Unreadable from None


def _zone(text: str) -> tzinfo:
    if text in ("Z", "UTC", "GMT"):
        return UTC
    plain = text.removeprefix("UTC").removeprefix("GMT")
    hours, minutes = plain[1:].replace(":", "")[:2], plain[1:].replace(":", "")[2:]
    shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
    return timezone(-shift if plain[0] == "-" else shift)


def _day(text: str, style: Style) -> date:
    orders = (style.dates,) if style.dates else ORDERS
    if parts := _IN_NUMBERS.fullmatch(text):
        first, _, second, third = parts.groups()
        if len(first) == 4:
            return _one_of(_days([(first, second, third)]))
        of = {"DMY": (third, second, first), "MDY": (third, first, second), "YMD": (first, second, third)}
        able = [order for order in orders if (order != "YMD" or len(third) < 3) and len(first) < 3]
        return _one_of(_days(of[order] for order in able))
    if parts := _DIGITS.fullmatch(text):
        return _one_of(_days([parts.groups()]))
    for pattern, place in ((_DAY_FIRST, (3, 2, 1)), (_MONTH_FIRST, (3, 1, 2)), (_YEAR_FIRST, (1, 2, 3))):
        if parts := pattern.fullmatch(text):
            year, name, number = (parts[i] for i in place)
            month = meanings("months").get(name.casefold(), "0")
            written = [(year, month, number)]
            if len(year) == 2 and "DMY" not in orders[:1]:
                written.append((number, month, year))
            return _one_of(_days(written))
    raise Unreadable


def _days(written: Iterable[tuple[str, ...]]) -> set[date]:
    found = set()
    for year, month, number in written:
        whole = int(year) + (0 if len(year) == 4 else 1900 if int(year) >= _CENTURY_FROM else 2000)
        try:
            found.add(date(whole, int(month), int(number)))
        except ValueError:
            continue
    return found


READERS: dict[str, Callable[[str, Style], Any]] = {
    "amount": amount,
    "number": number,
    "count": count,
    "flag": flag,
    "date": day,
    "month": month,
    "time": time,
}
WORDS = {
    "amount": ("an amount", "12, 1,234.50, EUR 12"),
    "number": ("a number", "12, 12.5"),
    "count": ("a whole number", "12"),
    "flag": ("a flag", "yes, no, true, false, 1, 0, x, ja, nein, oui, non"),
    "date": ("a date", "2024-03-31, 31 Mar 2024"),
    "month": ("a month", "2024-03, 03/2024, Mar 2024"),
    "time": ("a time", "2024-03-31 14:05, 2024-03-31T14:05:00Z"),
}
SETTING = {"amount": "decimal", "number": "decimal", "count": "decimal", "date": "dates", "time": "dates"}


def read(kind: str, text: str, style: Style) -> Any:
    """The value of ``text`` as a ``kind`` of READERS; None where it is unreadable."""
    try:
        return READERS[kind](text, style)
    except Unreadable:
        return None


def why_unreadable(kind: str, text: str, style: Style, place: str) -> str:
    """Why a text is not read, with the setting under ``place`` that would tell; empty where it is read."""
    try:
        READERS[kind](text, style)
    except Unreadable as error:
        reason = str(error)
        setting = f"{TO_MEND}write {SETTING[kind]} under {place}" if reason == TWO_WAYS else ""
        return f"unreadable as {WORDS[kind][0]}{': ' * bool(reason)}{reason}{setting}"
    return ""
