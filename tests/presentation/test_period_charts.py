"""Rates over periods: every point told in words, a gap where nothing is known, equal bytes for equal figures."""

import pandas as pd
from closedloop.presentation.period_charts import over_periods

SERIES = pd.CategoricalDtype(["ranked first", "all"], ordered=True)


def _rows(n_periods: int) -> pd.DataFrame:
    rows = [
        {"period": f"p{number:02}", "series": name, "estimate": rate, "low": rate - 0.1, "high": rate + 0.1, "n": 60}
        for number in range(n_periods)
        for name, rate in (("all", 0.35), ("ranked first", 0.5))
        if (number, name) != (0, "ranked first")
    ]
    return pd.DataFrame(rows).assign(claim_id=lambda d: [f"c{i}" for i in range(len(d))]).astype({"series": SERIES})


def test_the_words_tell_every_point_series_by_series() -> None:
    picture = over_periods(_rows(3), "How many were won?", "share won", caption="Ties count in part.")
    told = picture.alt.replace("\N{NO-BREAK SPACE}", " ")
    assert told.startswith("How many were won? ranked first, p01: 50 % (40–60 %, n = 60); ranked first, p02: 50 %")
    assert "ranked first, p00" not in told, "what is not known is not told"
    assert told.endswith("all, p02: 35 % (25–45 %, n = 60).")
    assert picture.caption == "Point: observed; bar: 90 % interval. Ties count in part."
    assert picture.claims == ("c0", "c1", "c2", "c3", "c4")


def test_the_last_sixteen_periods_are_drawn() -> None:
    told = over_periods(_rows(20), "Q?", "share won").alt
    assert "p03" not in told
    assert told.count("all, p") == 16


def test_equal_rows_give_equal_bytes_and_others_do_not() -> None:
    rows = _rows(4)
    first, again = (over_periods(rows, "Q?", "share won").png for _ in range(2))
    assert first == again != over_periods(rows.assign(estimate=0.4), "Q?", "share won").png
