"""What each measure is called, in sentences and headings."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from closedloop.documents.estimates import ESTIMATES


class Measure(NamedTuple):
    """The words of one measure: what more and less of it is, what all cases are, and what it is called."""

    more: str
    less: str
    everyone: str
    name: str


_MEASURES: Mapping[str, Measure] = MappingProxyType(
    {
        "win_rate": Measure(
            "won more often", "won less often", "of all deals decided in the same periods",
            "share of decided deals won",
        ),
        "accepted_rate": Measure(
            "accepted by sales more often", "accepted by sales less often",
            "of all leads handed off in the same periods", "share of handed-off leads that sales accepted",
        ),
        "persona_accepted_rate": Measure(
            "accepted by sales more often", "accepted by sales less often",
            "of the persona's leads handed off in the same periods",
            "share of the persona's handed-off leads that sales accepted",
        ),
        "won_rate": Measure(
            "turned into won deals more often", "turned into won deals less often", "of all leads of the same periods",
            "share of leads that became a won deal",
        ),
        "usual_conversion_rate": Measure(
            "won within the usual time more often", "won within the usual time less often",
            "of all leads that came in the same periods", "share of leads won within the usual time",
        ),
        "cost_per_won_amount": Measure(
            "dearer for each won deal", "cheaper for each won deal", "over the other channels", "cost per won deal"
        ),
        "promise_gap": Measure(
            "won more often than promised", "won less often than promised", "promised", "win rate beside its promise"
        ),
        "drift_win_rate": Measure(
            "won more often than before", "won less often than before", "in",
            "win rate beside that of the periods before",
        ),
        "drift_share": Measure(
            "a larger part of the deals than before", "a smaller part of the deals than before",
            "in", "share of decided deals beside that of the periods before",
        ),
        "score_auc": Measure("ordered better than by chance", "ordered worse than by chance", "by chance",
                              "AUC within periods of what it had not seen"),
        "gain_over_stage": Measure("the score tells more than the stage", "the score tells less than the stage",
                                   "by stage", "AUC gained over ranking by stage"),
        "log_loss_gain": Measure("predicts better than the set in force", "predicts worse than the set in force",
                                 "by the set in force", "gain in log loss over the set in force"),
        "auc_within_gain": Measure("orders better than the set in force", "orders worse than the set in force",
                                   "by the set in force", "gain in AUC within blocks over the set in force"),
        "order_won_rate": Measure("more would have been won", "fewer would have been won", "as called",
                                  "share of called leads won"),
        "rep_spread": Measure("differ beyond luck", "differ beyond luck", "of luck",
                              "chance that luck alone makes sellers differ as much"),
        "association": Measure("come together", "exclude each other", "without a connection",
                               "rank correlation with the other answer"),
        "attractiveness_score": Measure("more attractive than the average segment",
                                        "less attractive than the average segment", "of the average segment",
                                        "attractiveness beside the average segment"),
        "strength_score": Measure("we are stronger than on average", "we are weaker than on average",
                                  "of the average segment", "own strength beside the average segment"),
        "merge_gap": Measure(
            "won more often than the persona it was split from", "won less often than the persona it was split from",
            "of that persona", "win rate beside the persona it was split from"
        ),
        "remaining_share": Measure(
            "more of the deals than a play needs", "fewer of the deals than a play needs", "a play needs",
            "share of recent deals"
        ),
        "recorded_share": Measure(
            "recorded more often for successes", "recorded less often for successes", "of the others",
            "share that records it"
        ),
        "share": Measure("more common", "less common", "of the whole market", "share"),
        "sales_cycle_days": Measure(
            "sold more slowly", "sold faster", "over all won deals", "days from opening to winning a deal"
        ),
        "wave_share": Measure(
            "more common in the last wave", "less common in the last wave", "of all rows", "share of the last wave"
        ),
        "qualified_rate": Measure(
            "qualified by sales more often", "qualified by sales less often", "of all leads of the same periods",
            "share of leads that sales qualified",
        ),
        "won_amount_per_lead": Measure(
            "worth more for each lead", "worth less for each lead", "over all leads", "won amount per lead"
        ),
        "arm_share": Measure(
            "more of the leads than were drawn into it", "fewer of the leads than were drawn into it", "drawn",
            "share of the experiment's leads"
        ),
        "won_amount_per_decided": Measure(
            "worth more for each decided deal", "worth less for each decided deal", "over all decided deals",
            "won amount per decided deal",
        ),
        "won_amount": Measure("larger deals", "smaller deals", "over all won deals", "amount of a won deal"),
    }
)  # fmt: skip


_EVERYONE: Mapping[str, str] = MappingProxyType(  # what the baseline of such a figure is
    {
        "ari": "asked",
        "column_auc": "above which a leak is suspected",
        "together_auc": "above which leaks are suspected",
        "component_share": "of shuffled answers",
        "effective_sample": "needed",
        "observed_rate": "predicted",
        "promise": "promised",
        "win_rate_adjusted": "as counted",
        "weakest_slsw": "asked",
        "win_rate_explained": "as counted",
        "win_rate_perhaps_reversed": "as counted",
        "win_rate_reversed": "as counted",
    }
)


def measure_of(name: str) -> Measure:
    """The words of a measure; one that is not listed is named by its column."""
    words = ESTIMATES.get(name, name.removeprefix("n_").replace("_", " "))
    return _MEASURES.get(name, Measure(f"higher {words}", f"lower {words}", _EVERYONE.get(name, "over all"), words))
