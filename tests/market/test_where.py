"""A condition on deals and leads: what meets it, and what is refused."""

import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.market.warehouse import View, open_warehouse
from closedloop.market.where import meeting

from tests.market.conftest import TinyMarket, select_of

DEALS = "deal_id,created_on,outcome,region,sites,is_new,renewal\nD1,2024-01-02,open,east,1,true,2024-01-05"


@pytest.fixture
def view(tiny_market: TinyMarket) -> View:
    select = select_of("deals", DEALS).replace('"renewal"', '"renewal"::date as renewal')
    fields = '[fields.deals]\ncreation = ["region", "sites", "is_new", "renewal"]'
    tiny_market({"deals": DEALS}, {"deals": select}, more=fields)
    market = open_warehouse("tiny")
    return market.view(market.periods[-1].end)


def rows() -> pd.DataFrame:
    """As a view gives them; D3 tells nothing but its sites, D4 tells no sites."""
    return pd.DataFrame(
        {
            "deal_id": ["D1", "D2", "D3", "D4"],
            "region": pd.Series(["east", "west", None, "north"], dtype="str"),
            "sites": [1.0, 20.0, 3.0, None],
            "is_new": pd.array([True, False, None, True], dtype="boolean"),
            "renewal": pd.to_datetime(["2024-01-05", "2024-02-05", None, "2024-03-05"]),
        }
    )


@pytest.mark.parametrize(
    ("where", "met"),
    [
        ("", "D1 D2 D3 D4"),
        ('region == "east"', "D1"),
        ('region != "east"', "D2 D4"),
        ('not region == "east"', "D2 D4"),  # a missing one is neither
        ('region in ["east", "west"]', "D1 D2"),
        ('region not in ["east"]', "D2 D4"),
        ("sites >= 3", "D2 D3"),
        ("not sites >= 3", "D1"),
        ("sites in (1, 3)", "D1 D3"),
        ("is_new == True", "D1 D4"),
        ("is_new != True", "D2"),
        ('renewal < "2024-02-05"', "D1"),
        ('region == "east" or sites == 3', "D1 D3"),  # a part that is missing spoils no part that is met
        ('region == "west" and sites == 20', "D2"),
        ('not (region == "west" and sites == 20)', "D1 D3 D4"),
    ],
)
def test_a_condition_is_met_as_in_sql(view: View, where: str, met: str) -> None:
    assert " ".join(meeting(where, rows(), view)["deal_id"]) == met


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("region == 3", "'region' holds texts, which cannot be compared with 3"),
        ('region in ["east", 3]', "'region' holds texts, which cannot be compared with 'east', 3"),
        ('sites > "3"', "'sites' holds numbers, which cannot be compared with '3'"),
        ("sites == True", "'sites' holds numbers, which cannot be compared with True"),
        ("is_new == 1", "'is_new' holds flags, which cannot be compared with 1"),
        ('renewal < "spring"', "'renewal' holds days, which cannot be compared with 'spring'"),
        ('deal_id == "D1"', "'deal_id' is no field that is known by hand-off; allowed: is_new, region, renewal, sites"),
    ],
)
def test_what_a_column_cannot_be_compared_with_is_refused(view: View, where: str, said: str) -> None:
    with pytest.raises(ParameterError, match=said):
        meeting(where, rows(), view)


def test_a_column_of_which_nothing_is_known_meets_nothing(view: View) -> None:
    unknown = rows().assign(sites=None)
    assert meeting("sites > 3", unknown, view).empty
    assert meeting("not sites > 3", unknown, view).empty
