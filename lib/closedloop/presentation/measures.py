"""What each figure is called that is stated alone, compared with nothing."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

ESTIMATES: Mapping[str, str] = MappingProxyType(
    {
        "ari": "agreement between samples (adjusted Rand index)",
        "ari_shuffled": "agreement between samples of shuffled answers",
        "arm_accepted_rate": "share of the arm's leads that sales accepted",
        "arm_accepted_rate_difference": "difference in the share that sales accepted",
        "arm_qualified_rate": "share of the arm's leads that sales qualified",
        "arm_qualified_rate_days": "days within which nine of ten qualified leads were qualified",
        "arm_qualified_rate_difference": "difference in the share that sales qualified",
        "arm_accepted_rate_days": "days within which nine of ten accepted leads were accepted",
        "arm_won_amount_per_lead_difference": "difference in the won amount per lead",
        "arm_won_rate": "share of the arm's leads that were won",
        "arm_won_rate_days": "days within which nine of ten won leads were won",
        "arm_won_rate_difference": "difference in the share that was won",
        "attractiveness_weight": "weight in attractiveness",
        "auc": "AUC",
        "auc_open": "AUC among deals that were open",
        "auc_within": "AUC within periods",
        "bic": "BIC",
        "brier": "Brier score",
        "buyer_loss_share": "share of buyers' reasons for the loss",
        "column_auc": "AUC of the column alone, within periods",
        "together_auc": "AUC of the column with all that were not named before it, within periods",
        "level_won_rate": "share of decided records won",
        "component_share": "share of all variance",
        "conversion_rate": "share of the leads at the status before",
        "cost_per_accepted_amount": "cost per accepted lead",
        "days_to_win": "days within which nine of ten won leads of the slowest channel were won",
        "criterion_growth": "change of its share of new records",
        "criterion_materials_ready": "share of its wishes with a message, a proof and an answer",
        "criterion_needs_served": "share of its wishes that a value proposition serves",
        "criterion_sales_cycle": "median days from opening to winning a deal",
        "criterion_size": "share of the market",
        "criterion_win_rate": "share of decided deals won",
        "criterion_won_amount": "mean amount of a won deal",
        "criterion_won_amount_per_decided": "won amount per decided deal",
        "earlier_segments": "segments before the last wave",
        "ece": "calibration error",
        "effective_sample": "leads that the log is worth",
        "expected_false_lines": "lines that hold and may be false, at most on average",
        "first_touch_median_days": "median days from hand-off to the first sales touch",
        "first_touch_p90_days": "days from hand-off within which nine of ten leads were touched by sales",
        "gain_over_base_rate": "log-loss gained over the better base rate",
        "guess_error": "share of cases that guessing the largest persona assigns wrongly",
        "held_out_log_likelihood": "held-out log-likelihood",
        "icl": "ICL",
        "lead_accepted_rate": "share of the leads that sales decided on which it accepted",
        "lead_open_rate": "share of leads that nobody has decided on yet",
        "lead_won_rate": "share of leads won so far",
        "large_amount": "amount of a won deal far above the others",
        "least_recognised": "least share of members whom the rule finds",
        "least_stability": "how surely a segment has to be found again",
        "log_loss": "log loss",
        "loss_reason_agreement": "share of lost deals on whose reason seller and buyer agree",
        "loss_reason_share": "share of sellers' reasons for the loss",
        "loss_share": "share of sellers' reasons for the loss",
        "loss_topic_share": "share of buyers' reasons for the loss",
        "lost_by": "share of deals lost by then",
        "lost_filled_rate": "share filled among lost records",
        "mean_amount": "mean amount of a won deal",
        "mean_difference": "mean difference of the shares of all attributes",
        "median_age_days": "median days that records to call are known",
        "median_amount": "median amount of a won deal",
        "median_cycle_days": "median days from opening to winning a deal",
        "member_share": "share of its members",
        "met_in_lost_share": "met in that share of lost deals",
        "met_in_won_share": "met in that share of won deals",
        "met_share": "share of ended deals",
        "missing_share": "share without an answer",
        "n_accepted": "leads that sales accepted",
        "n_accounts": "known accounts, about",
        "n_advised": "rows advised",
        "n_all": "real records that match all traits",
        "n_all_but_one": "real records that match all traits but one at most",
        "n_arm_accepted": "leads of the arm that sales accepted",
        "n_arm_leads": "leads drawn into the arm",
        "n_arm_qualified": "leads of the arm that sales qualified",
        "n_arm_won": "leads of the arm that were won",
        "n_assumed": "personas without outcomes of their own",
        "n_columns": "columns that segments are cut by",
        "n_described": "rows that the personas are described by",
        "n_dimensions": "dimensions that stand out from shuffled answers",
        "n_disagreements": "leads on which the teams disagree",
        "n_drawn": "records on the list to call that were drawn",
        "n_drawn_leads": "leads of the experiment",
        "n_effective_rows": "answers of equal weight that would be as sure",
        "n_ended": "deals that ended",
        "n_groups_inside": "groups whose predicted rate lies within the interval of the observed one",
        "n_last_wave": "rows of the last wave",
        "n_listed": "records on the list to call",
        "n_loss_topic": "reasons of buyers logged",
        "n_lost": "lost deals",
        "n_members": "rows of the persona",
        "n_met": "ended deals",
        "n_no_decision": "deals that ended without a decision",
        "n_objection": "objections logged",
        "n_open": "open deals",
        "n_pain": "pains logged",
        "n_personas": "personas in force",
        "n_promises_kept": "promises kept",
        "n_question": "questions logged",
        "n_reached": "leads that came so far",
        "n_rejected": "leads that sales gave back",
        "n_reps": "sellers",
        "n_rows": "rows",
        "n_sales_feedback": "remarks of sales logged",
        "n_sales_rejection": "remarks on rejected leads logged",
        "n_texts": "questions and answers that the team wrote",
        "n_to_hand_off": "qualified leads that wait for their hand-off",
        "n_traits": "traits described",
        "n_trigger": "triggers logged",
        "n_won_without_amount": "won deals without an amount",
        "n_values": "different values of a field",
        "n_used": "contacts in which it was used",
        "n_without_weight": "respondents without a weight",
        "n_adjusted": "differences that were compared again, like with like",
        "n_wake_up": "open records that are known for too long",
        "n_won": "won deals",
        "never_touched_share": "share never touched by sales",
        "next_amount": "amount of the next won deal",
        "no_decision_by": "share of deals ended without a decision by then",
        "no_decision_share": "share of ended deals without a decision",
        "objection_share": "share of objections raised",
        "observed_rate": "share won",
        "oldest_days": "days for which a record to call is known at most",
        "open_filled_rate": "share filled among open records",
        "pain_share": "share of pains heard",
        "persona_share": "share of known customers and leads",
        "profile_mean": "mean",
        "profile_share": "share of those who answered",
        "promise": "observed",
        "came_win_rate": "share of decided deals won since",
        "next_win_rate": "win rate that will be promised",
        "n_promised_won": "won deals that the promise rests on",
        "promised_before": "win rate promised in the last period",
        "promised_win_rate": "win rate promised",
        "question_share": "share of questions heard",
        "reached_share": "share of the leads handed off",
        "recognised_share": "share of members whom the rule finds",
        "rejection_share": "share of the leads that sales gave back",
        "rule_error": "share of unseen cases that the rule assigns wrongly",
        "sales_feedback_share": "share of sales' feedback",
        "sales_rejection_share": "share of sales' remarks on rejected leads",
        "sales_velocity_per_day": "money that the open deals make a day",
        "segment_share": "share of the market",
        "slsw": "how surely the segment is found again",
        "smallest_accounts": "smallest number of known accounts",
        "smallest_share": "smallest share of the market",
        "sought_accepted_rate": "share accepted that the data point to",
        "sought_persona_accepted_rate": "share of the persona's leads accepted that the data point to",
        "sought_qualified_rate": "share qualified that the data point to",
        "sought_win_rate": "share of decided deals won that the data point to",
        "sought_usual_conversion_rate": "share of leads won within the usual time that the data point to",
        "sought_won_rate": "share turned into won deals that the data point to",
        "spent_amount": "spent",
        "split_kept_share": "share of samples of the deals in which the split holds",
        "split_kept_since_share": "share of samples of the deals since the split in which it holds",
        "stage_days": "median days in the stage",
        "stage_late_days": "days after which nine of ten had left the stage",
        "strength_weight": "weight in own strength",
        "test_arm_leads": "leads that each arm of a test needs",
        "test_harm_difference": "how far behind half-way stops a test",
        "test_weeks": "weeks that a test takes",
        "total_won_amount": "amount won",
        "touched_in_time_share": "share touched by sales within the promised days",
        "trigger_share": "share of triggers heard",
        "uncoded_loss_share": "share of lost deals without a reason recorded",
        "n_uncounted": "leads not counted, for they came when it was not recorded",
        "n_uncovered": "leads left out, for they came when it was not recorded",
        "usual_days": "days within which nine of ten won leads had been won",
        "unseen_share": "share of deals with values never seen before",
        "wait_records": "more records that would settle it",
        "wait_weeks": "weeks until there are so many",
        "wave_agreement": "agreement of the cut before the last wave with today's",
        "wave_share_change": "change of its share in the last wave",
        "weakest_slsw": "how surely the weakest segment is found again",
        "weighed_share": "share of deals that record whom we met",
        "win_rate_adjusted": "difference in win rate, like compared with like",
        "win_rate_broad": "share won of all ended deals",
        "win_rate_explained": "difference in win rate, of which nothing is left once like is compared with like",
        "win_rate_perhaps_reversed": "difference in win rate, which may not hold once like is compared with like",
        "win_rate_reversed": "difference in win rate, which turns round once like is compared with like",
        "win_rate_when_raised": "share of decided deals won when raised",
        "win_rate_when_used": "share of decided deals won when used",
        "won_by": "share of deals won by then",
        "won_filled_rate": "share filled among won records",
        "won_touches": "median contacts of sales with a won lead",
    }
)


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
