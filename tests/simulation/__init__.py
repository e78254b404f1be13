"""A fictional market, written from its planted truth: the same bytes every time."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def simulate(market_folder: Path, out: Path) -> None:
    """Write the raw files of the market that `market_folder`/truth.toml describes into the folder `out`.

    The same truth gives the same bytes. Raises FileNotFoundError without truth.toml, DefinitionError when
    it is incomplete.
    """
    from .write import write_market

    write_market(market_folder, out)


def hidden_win_rates(market_folder: Path) -> "pd.Series":
    """Return the planted chance of winning of every deal, by deal_id.

    It is in no raw file: it exists to measure how much of the possible lift the loop reaches.
    """
    from .demand import draw_leads
    from .population import draw_accounts
    from .sales import draw_deals
    from .truth import read_truth

    truth = read_truth(market_folder)
    deals = draw_deals(truth, draw_leads(truth, draw_accounts(truth)))
    return deals.set_index("deal_id")["win_rate"]


def hidden_segments(market_folder: Path) -> "pd.DataFrame":
    """Return the planted segment of every account and respondent: columns table, row_id, segment.

    It is in no raw file: it exists to compare findings with the truth.
    """
    import pandas as pd

    from .population import draw_accounts, draw_respondents
    from .truth import read_truth

    truth = read_truth(market_folder)
    accounts = draw_accounts(truth)
    respondents = draw_respondents(truth, accounts)
    frames = [
        accounts.assign(table="accounts", row_id=accounts["account_id"]),
        respondents.assign(table="respondents", row_id=respondents["respondent_id"]),
    ]
    return pd.concat([frame[["table", "row_id", "segment"]] for frame in frames], ignore_index=True)
