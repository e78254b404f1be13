"""Periods: names, edges, gaps, the running one, and the days of planning and looking back."""

from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise

import pytest
from closedloop.errors import DefinitionError, ParameterError
from closedloop.market.definition import Definition, Periods
from closedloop.market.periods import ALL, FOREVER, Period, calendar, find_period, period_of

Define = Callable[..., Definition]


@pytest.fixture
def define(tmp_path: object) -> Define:
    """A definition with the given clock, first period, length and last day."""

    def build(first: str, length: str | int, extracted_on: date, clock: str = "day") -> Definition:
        return Definition.model_validate(
            {
                "name": "tiny",
                "folder": tmp_path,
                "title": "Tiny",
                "licence": "CC0-1.0",
                "currency": "EUR",
                "clock": clock,
                "extracted_on": extracted_on,
                "periods": {"first": first, "length": length},
                "sources": {},
            }
        )

    return build


@pytest.mark.parametrize(
    ("day", "length", "name", "start", "end"),
    [
        (date(2024, 2, 29), "month", "2024-02", date(2024, 2, 1), date(2024, 3, 1)),
        (date(2024, 12, 31), "month", "2024-12", date(2024, 12, 1), date(2025, 1, 1)),
        (date(2024, 3, 31), "quarter", "2024-q1", date(2024, 1, 1), date(2024, 4, 1)),
        (date(2024, 4, 1), "quarter", "2024-q2", date(2024, 4, 1), date(2024, 7, 1)),
        (date(2024, 12, 31), "quarter", "2024-q4", date(2024, 10, 1), date(2025, 1, 1)),
        (date(2024, 6, 30), "half", "2024-h1", date(2024, 1, 1), date(2024, 7, 1)),
        (date(2024, 7, 1), "half", "2024-h2", date(2024, 7, 1), date(2025, 1, 1)),
        (date(2024, 7, 1), "year", "2024", date(2024, 1, 1), date(2025, 1, 1)),
        (date(2000, 1, 1), 100, "p001", date(2000, 1, 1), date(2000, 4, 10)),
        (date(2000, 4, 9), 100, "p001", date(2000, 1, 1), date(2000, 4, 10)),
        (date(2000, 4, 10), 100, "p002", date(2000, 4, 10), date(2000, 7, 19)),
    ],
)
def test_the_period_that_holds_a_day(day: date, length: str | int, name: str, start: date, end: date) -> None:
    assert period_of(day, Periods(first=name, length=length)) == Period(start, end, name)


@pytest.mark.parametrize(
    ("first", "length", "names"),
    [
        ("2023-11", "month", ["2023-11", "2023-12", "2024-01", "2024-02"]),
        ("2023-q3", "quarter", ["2023-q3", "2023-q4", "2024-q1"]),
        ("2023-h2", "half", ["2023-h2", "2024-h1"]),
        ("2022", "year", ["2022", "2023", "2024"]),
    ],
)
def test_every_length_runs_from_the_first_to_the_running_one(
    define: Define, first: str, length: str, names: list[str]
) -> None:
    days = [date(2021, 12, 15) + timedelta(days=n) for n in range(800)]
    periods = calendar(define(first, length, date(2024, 2, 10)), days)
    assert [period.name for period in periods] == names
    assert [period.running for period in periods] == [False] * (len(names) - 1) + [True]
    assert all(one.end == following.start for one, following in pairwise(periods))


def test_a_past_period_without_events_is_left_out(define: Define) -> None:
    busy = [date(2024, 1, 31), date(2024, 3, 1), date(2026, 1, 1)]
    periods = calendar(define("2024-01", "month", date(2024, 5, 15)), busy)
    assert [period.name for period in periods] == ["2024-01", "2024-03", "2024-05"]
    assert [period.running for period in periods] == [False, False, True]


@pytest.mark.parametrize(
    ("extracted_on", "names", "looked_back_on"),
    [
        # One day is still missing: the quarter runs and is looked back on "so far", on the day after the data's last.
        (date(2024, 3, 30), ["2024-q1"], [date(2024, 3, 31)]),
        # Complete: the next one is planned.
        (date(2024, 3, 31), ["2024-q1", "2024-q2"], [date(2024, 4, 1), date(2024, 4, 1)]),
        (date(2024, 4, 1), ["2024-q1", "2024-q2"], [date(2024, 4, 1), date(2024, 4, 2)]),
    ],
)
def test_the_running_period(define: Define, extracted_on: date, names: list[str], looked_back_on: list[date]) -> None:
    periods = calendar(define("2024-q1", "quarter", extracted_on), [date(2024, 1, 5)])
    assert [period.name for period in periods] == names
    assert periods[-1].running and not any(period.running for period in periods[:-1])
    assert [period.looked_back_on(extracted_on) for period in periods] == looked_back_on
    assert [period.planned_on for period in periods] == [period.start for period in periods]


def test_the_clock_of_positions(define: Define) -> None:
    # 250 rows in periods of 100: positions 0-99, 100-199, and 200-249 running.
    definition = define("p001", 100, date(2000, 1, 1) + timedelta(days=249), clock="order")
    periods = calendar(definition, [date(2000, 1, 1) + timedelta(days=n) for n in range(250)])
    assert [(period.name, period.running) for period in periods] == [("p001", False), ("p002", False), ("p003", True)]
    assert [period.start for period in periods] == [date(2000, 1, 1), date(2000, 4, 10), date(2000, 7, 19)]
    assert calendar(define("p002", 100, date(2000, 9, 6), clock="order"), [])[0].name == "p003"


def test_without_dates_there_is_one_period_that_sees_everything() -> None:
    definition = Definition.model_validate(
        {"name": "t", "folder": ".", "title": "T", "licence": "x", "currency": "EUR", "clock": "none", "sources": {}}
    )
    assert calendar(definition, []) == [ALL]
    assert (ALL.name, ALL.running, ALL.planned_on, ALL.looked_back_on(date(2024, 1, 1))) == (
        "all",
        False,
        FOREVER,
        FOREVER,
    )


@pytest.mark.parametrize(
    ("first", "length", "clock"),
    [
        ("2024-13", "month", "day"),
        ("2024-00", "month", "day"),
        ("2024-1", "month", "day"),
        ("2024-q5", "quarter", "day"),
        ("2024-01", "quarter", "day"),
        ("2024-h3", "half", "day"),
        ("24", "year", "day"),
        ("0000", "year", "day"),
        ("2024-q1", 100, "order"),
        ("p1", 100, "order"),
    ],
)
def test_a_first_period_that_does_not_exist_is_refused(
    define: Define, first: str, length: str | int, clock: str
) -> None:
    with pytest.raises(DefinitionError, match=rf"market\.toml: periods\.first = '{first}' is no {length}"):
        calendar(define(first, length, date(2030, 6, 30), clock=clock), [])


def test_a_first_period_after_the_data_is_refused(define: Define) -> None:
    with pytest.raises(DefinitionError, match="lies after extracted_on"):
        calendar(define("2025-q1", "quarter", date(2024, 6, 30)), [])


def test_latest_is_the_running_one_for_planning_and_the_last_complete_one_for_looking_back(define: Define) -> None:
    periods = calendar(define("2024-01", "month", date(2024, 3, 15)), [date(2024, 1, 1), date(2024, 2, 1)])
    assert find_period(periods, "latest").name == "2024-03"
    assert find_period(periods, "latest", planning=False).name == "2024-02"
    assert find_period(periods, "2024-01", planning=False).name == "2024-01"
    assert find_period(periods[-1:], "latest", planning=False).name == "2024-03"  # nothing is complete yet
    with pytest.raises(ParameterError, match=r"'2023-12' does not exist; allowed: latest, 2024-01, 2024-02, 2024-03"):
        find_period(periods, "2023-12")
