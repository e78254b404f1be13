"""Figures: told in words, the same bytes for the same data, never more rows than can be read."""

import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from closedloop.presentation import charts

from tests.documents.ledger import HOSTILE


def rows(n: int, label: str = "group") -> pd.DataFrame:
    """n rows for a chart of dots."""
    estimate = np.linspace(0.2, 0.6, n)
    labels = [f"{label} {i}" for i in range(n)]
    return pd.DataFrame({"label": labels, "estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1, "n": 50})


CURVE = pd.DataFrame(
    {"day": [0, 10, 0, 10], "cause": ["won", "won", "lost", "lost"], "estimate": [0, 0.3, 0, 0.4]}
).assign(low=0.0, high=0.5)
PROFILE = pd.DataFrame({"a": [0.1, 0.9], "b": [0.8, 0.2]}, index=["wants price", "wants speed"])
CELLS = pd.DataFrame({"item": ["wants price", "wants price", "elsewhere"], "claim_id": ["a", "b", "c"]})
CALIBRATION = pd.DataFrame({"predicted": [0.1, 0.4], "observed": [0.12, 0.35], "low": 0.05, "high": 0.5, "n": 80})
BARS = pd.DataFrame({"label": ["inquiry", "won"], "n": [100, 7], "remark": ["", "7 %"]})

PICTURES = {
    "dots": lambda: charts.dots(rows(3), "Who?", "share won", baseline=0.3),
    "bars": lambda: charts.bars(BARS, "How far?", "leads"),
    "curve": lambda: charts.curve(CURVE, "When?", names={"won": "won"}),
    "heat": lambda: charts.heat(PROFILE, CELLS, "What?"),
    "calibration": lambda: charts.calibration(CALIBRATION, "True?"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_figure_has_the_same_bytes_every_time_and_no_metadata(name: str) -> None:
    first, second = PICTURES[name](), PICTURES[name]()
    assert first.png == second.png
    assert first.png.startswith(b"\x89PNG")
    assert b"Software" not in first.png
    assert b"tEXt" not in first.png


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dots", "group 0: 20 % (10–30 %, n = 50)"),
        ("bars", "won: 7 7 %"),
        ("curve", "won: 30 % after 10 days; lost: 40 % after 10 days"),
        ("heat", "wants price: 10 %, 80 %"),
        ("calibration", "predicted 10 %, observed 12 % (n = 80)"),
    ],
)
def test_a_figure_tells_its_numbers_in_words(name: str, told: str) -> None:
    assert told in " ".join(PICTURES[name]().alt.replace("\N{NO-BREAK SPACE}", " ").split())


def test_a_figure_cites_the_claims_that_it_draws() -> None:
    assert PICTURES["heat"]().claims == ("a", "b")


def test_at_most_twelve_rows_are_drawn_and_the_rest_is_counted() -> None:
    picture = charts.dots(rows(15), "Who?", "share won")
    assert "group 11" in picture.alt
    assert "group 12" not in picture.alt
    assert "3 more rows are in the ledger." in picture.caption


def test_the_baseline_and_the_interval_are_explained() -> None:
    caption = PICTURES["dots"]().caption.replace("\N{NO-BREAK SPACE}", " ")
    assert "bar: 90 % interval" in caption
    assert "Dashed line: 30 % over all." in caption


def test_a_missing_estimate_leaves_a_gap_and_not_a_zero() -> None:
    broken = rows(2).assign(estimate=[0.3, np.nan], low=[0.2, np.nan], high=[0.4, np.nan])
    assert "group 1: – (–, n = 50)" in charts.dots(broken, "Who?", "share won").alt


class Tags(HTMLParser):
    """The tags of a piece of HTML, and the attributes of its images."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag."""
        self.tags.append(tag)
        if tag == "img":
            self.images.append(dict(attrs))


def test_hostile_labels_stay_text_in_alt_and_caption() -> None:
    parser = Tags()
    parser.feed(charts.dots(rows(1, HOSTILE), HOSTILE, "share won", caption=HOSTILE)._repr_html_())
    assert parser.tags == ["figure", "img", "figcaption"]
    assert set(parser.images[0]) == {"alt", "src"}
    assert str(parser.images[0]["src"]).startswith("data:image/png;base64,")


def test_a_script_that_the_font_lacks_is_numbered_in_the_figure_and_told_below_it() -> None:
    labels = ["業種: 卸売業", "قطاع: بناء", "🚀 rocket", "Сектор: торговля", "業種: 卸売業, yes"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a sign without a glyph is drawn as an empty box, with a warning
        picture = charts.dots(rows(5).assign(label=labels), "Who?", "share won")
    assert picture.caption.endswith("[1]: 業種: 卸売業; [2]: قطاع: بناء; [3]: 🚀")
    assert all(label in picture.alt for label in labels)
    named = rows(5).assign(label=["[1]", "[2]", "[3] rocket", "Сектор: торговля", "[1], yes"])
    assert picture.png == charts.dots(named, "Who?", "share won").png
    item = PROFILE.set_axis(["望む 価格", "b"], axis=1).set_axis(["価格", "速度"])
    assert charts.heat(item, CELLS, "What?").caption == "[1]: 望む 価格; [2]: 価格; [3]: 速度"


def test_no_label_is_read_as_a_formula() -> None:
    odd = rows(1).assign(label=[r"from $5 to $9_{x}^\frac"])
    assert charts.dots(odd, "Who?", "share won").png != charts.dots(rows(1), "Who?", "share won").png


def test_long_labels_that_begin_alike_are_drawn_apart() -> None:
    first, second = (rows(1).assign(label=["the same beginning of a label " * 3 + end]) for end in ("one", "two"))
    assert charts.dots(first, "Who?", "share").png != charts.dots(second, "Who?", "share").png
