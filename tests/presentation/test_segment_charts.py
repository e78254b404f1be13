"""Figures of segments say in words what they draw, and cite the claims they draw."""

import pandas as pd
import pytest
from closedloop.presentation import charts


def criteria(**measures: tuple[float, ...]) -> pd.DataFrame:
    """Claims on 2, 3 and 4 segments for each measure."""
    rows = [
        {"measure": name, "level": str(k), "estimate": value, "baseline": 0.75, "claim_id": f"{name}-{k}"}
        for name, values in measures.items()
        for k, value in zip((2, 3, 4), values, strict=True)
    ]
    return pd.DataFrame(rows)


FOUND = criteria(ari=(0.9, 0.8, 0.4), ari_shuffled=(0.1, 0.1, 0.2), weakest_slsw=(0.95, 0.85, 0.3), bic=(9, 7, 8),
                 icl=(7, 8, 9), held_out_log_likelihood=(-9, -8, -7))  # fmt: skip


@pytest.mark.parametrize("recommended", [3, None])
def test_the_number_of_segments_is_one_figure_of_all_criteria(recommended: int | None) -> None:
    picture = charts.stability(FOUND, "How many?", recommended=recommended)
    assert picture.alt.startswith("How many? 2 segments found again: 0.90; 3 segments found again: 0.80")
    assert "weakest of 4: 0.30" in picture.alt
    assert "BIC: best is 3; ICL: best is 2; held-out rows: best is 4." in picture.alt
    assert set(picture.claims) == set(FOUND["claim_id"])
    assert picture.png == charts.stability(FOUND, "How many?", recommended=recommended).png


def test_the_number_that_is_used_is_marked() -> None:
    marked, plain = (charts.stability(FOUND, "How many?", recommended=k) for k in (3, None))
    assert marked.png != plain.png


def test_a_figure_of_fit_alone_is_drawn_where_nothing_was_cut_twice() -> None:
    picture = charts.stability(criteria(bic=(9, 7, 8)), "How many?", recommended=None)
    assert picture.alt == "How many? BIC: best is 3."


def test_positions_tell_both_axes_of_every_segment() -> None:
    rows = pd.DataFrame(
        {"label": ["a", "b"], "x": [0.5, -0.5], "x_low": [0.1, -1], "x_high": [0.9, 0.1], "y": [1.0, -1.0],
         "y_low": [0.5, -1.5], "y_high": [1.5, -0.5], "is_sure": [True, False], "claims": [("1", "2"), ("3",)]}
    )  # fmt: skip
    picture = charts.positions(rows, "Where?", ("own strength", "attractiveness"))
    assert (
        picture.alt == "Where? a: own strength 0.50, attractiveness 1.00; b: own strength −0.50, attractiveness −1.00."
    )
    assert picture.claims == ("1", "2", "3")
