"""The words of the materials that belong to a stage, to a rival or to everybody, and which were replaced."""

from datetime import date

from .material_needs import BUYER, CHAMPION, EVALUATOR, Written

BY_STAGE: tuple[Written, ...] = (
    Written(
        "exit_criterion",
        "Leave discovery",
        "The buyer has said in own words what should get better.",
        stage="discovery",
    ),
    Written(
        "exit_criterion",
        "Leave discovery",
        "We know who else decides, and have met one of them.",
        stage="discovery",
    ),
    Written(
        "exit_criterion",
        "Leave evaluation",
        "Test with the buyer's own files done, result written down.",
        stage="evaluation",
    ),
    Written(
        "exit_criterion",
        "Leave evaluation",
        "The security reviewer has no open question.",
        buying_role=EVALUATOR,
        stage="evaluation",
    ),
    Written(
        "exit_criterion",
        "Leave proposal",
        "The person who pays has read the offer and named a date.",
        buying_role=BUYER,
        stage="proposal",
    ),
    Written(
        "exit_criterion",
        "Leave negotiation",
        "Both sides have agreed on the start plan.",
        stage="negotiation",
    ),
    Written(
        "asset",
        "One page for the first talk",
        "What we do, for whom, and when we are the wrong choice.",
        stage="discovery",
    ),
    Written(
        "asset",
        "Worksheet: a day at your gate",
        "A sheet that the buyer fills in: hours, trucks, waiting.",
        buying_role=CHAMPION,
        stage="discovery",
        topic="slot_booking",
    ),
    Written(
        "asset",
        "Worksheet: a week at your quay",
        "A sheet that the planner fills in: calls, changes, reasons.",
        buying_role=CHAMPION,
        stage="discovery",
        topic="berth_planning",
    ),
    Written(
        "asset",
        "Interface list",
        "Every interface with its fields, formats and limits.",
        buying_role=EVALUATOR,
        stage="evaluation",
        topic="integration",
    ),
    Written(
        "asset",
        "Security questionnaire",
        "Our answers to the usual questions, and a data-flow drawing.",
        buying_role=EVALUATOR,
        stage="evaluation",
        topic="security_proof",
    ),
    Written(
        "asset",
        "Calculation sheet",
        "The buyer's own figures: what today costs, what a start costs.",
        buying_role=BUYER,
        stage="proposal",
        topic="low_price",
    ),
    Written(
        "asset",
        "Start plan",
        "Steps of both sides for the first weeks, with a stop rule.",
        stage="negotiation",
        topic="fast_start",
    ),
    Written(
        "offer",
        "Working session",
        "Two hours with your own files, and notes that you keep.",
        buying_role=CHAMPION,
        stage="evaluation",
    ),
    Written(
        "offer",
        "Small start",
        "One site, one team, a short term; the larger plan waits.",
        buying_role=BUYER,
        stage="proposal",
        topic="fast_start",
    ),
    Written(
        "offer",
        "Sites in steps",
        "A price per site that falls with each site that joins.",
        buying_role=BUYER,
        stage="proposal",
        topic="multi_site",
    ),
    Written(
        "offer",
        "Winter set-up",
        "Set-up in the quiet weeks, so that nobody learns in high season.",
        stage="negotiation",
        topic="labour_planning",
    ),
    Written("question", "Why now", "What happens if nothing changes until next year?", stage="discovery"),
    Written(
        "question",
        "Who decides",
        "Who else has to say yes, and what does each of them look at?",
        stage="discovery",
    ),
    Written(
        "question",
        "Money",
        "Is there a budget for this year, or does it have to be found?",
        buying_role=BUYER,
        stage="evaluation",
    ),
    Written("question", "Next step", "What would make you stop here? Good answer: a clear one.", stage="proposal"),
)

RIVALS: tuple[Written, ...] = (
    Written(
        "answer",
        "When they know rival-anchor",
        "Ask what they like about it. Show the interface list side by side.",
        competitor="rival-anchor",
        topic="integration",
    ),
    Written(
        "question",
        "Beside rival-anchor",
        "How long would you have to wait for the first working screen?",
        competitor="rival-anchor",
        topic="fast_start",
    ),
    Written(
        "answer",
        "When they know rival-beacon",
        "Their price looks lower at first. Fill in the calculation sheet together.",
        competitor="rival-beacon",
        topic="low_price",
    ),
    Written(
        "question",
        "Beside rival-beacon",
        "Who answers at night, and in which language?",
        competitor="rival-beacon",
        topic="local_support",
    ),
    Written(
        "answer",
        "When they know rival-compass",
        "It is good for a single quay. Ask about the gate and the crews.",
        competitor="rival-compass",
        topic="labour_planning",
    ),
    Written(
        "question",
        "Beside rival-compass",
        "Which figures do you owe to others, and who collects them?",
        competitor="rival-compass",
        topic="reporting",
    ),
    Written("limit", "Speaking of others", "Never run another supplier down: say where it fits better than we do."),
)

GENERAL: tuple[Written, ...] = (
    Written(
        "value_proposition",
        "Harbor in a sentence",
        "Harbor helps ports and warehouses to plan the day together, and to keep it.",
    ),
    Written(
        "answer",
        "We do it ourselves",
        "Good: then you know what it takes. Let us compare the hours that go into it.",
        competitor="none",
    ),
    Written(
        "answer",
        "Not this year",
        "Then let us agree on a day to look again, and on what would have to change.",
        competitor="none",
    ),
    Written("disqualifier", "No plan to change", "Walk away when nobody loses anything if all stays as it is."),
    Written(
        "disqualifier",
        "Only the price",
        "Walk away when a price is wanted before anybody has said what should get better.",
        topic="low_price",
    ),
    Written(
        "disqualifier",
        "Nobody to run it",
        "Walk away when no person on site will own the plan.",
        topic="labour_planning",
    ),
    Written(
        "disqualifier",
        "Custom build",
        "Walk away when it only fits after a rebuild of the product.",
        topic="integration",
    ),
)

# title: (day of the change, new text; "" retires it without a follower)
REPLACED: dict[str, tuple[date, str]] = {
    "Why fast start": (
        date(2024, 7, 1),
        "Begin with one task that hurts, see it work, then decide how far to go.",
    ),
    "Answer about low price": (
        date(2025, 1, 6),
        "Which of today's costs would have to fall so that it pays? Let us write that on one page.",
    ),
    "Calculation sheet": (
        date(2024, 10, 1),
        "Two columns: today and after a small start, with the buyer's own figures.",
    ),
    "Winter set-up": (date(2025, 3, 3), ""),
}
