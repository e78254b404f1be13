"""The words of the materials, need by need: plain, and without any promise that a product has not kept."""

from typing import NamedTuple

CHAMPION, BUYER, EVALUATOR, USER = "champion", "economic_buyer", "technical_evaluator", "end_user"


class Written(NamedTuple):
    """A text of the team; "" means everybody, every stage, every rival, every need."""

    kind: str
    title: str
    text: str
    buying_role: str = ""
    stage: str = ""
    competitor: str = ""
    topic: str = ""


# By topic: value proposition, message to the champion, message to another role, that role, proof, question,
# what a good answer is, what not to claim.
_NEEDS: dict[str, tuple[str, str, str, str, str, str, str, str]] = {
    "integration": (
        "Your systems keep talking: Harbor takes orders and positions from what you already run.",
        "You will not type a plan twice: it starts from the data you already have.",
        "We use documented interfaces and show you every field that crosses them.",
        EVALUATOR,
        "Interface list, and a test with a copy of your own files before you sign",
        "Which systems would have to know about a change of plan, and how do they learn of it today?",
        "They can name the systems and the person who owns each.",
        "Do not promise an interface that is not on the list.",
    ),
    "multi_site": (
        "One plan for all your sites, with the freedom that each of them needs.",
        "You see every site on one page and still let each one decide its day.",
        "One contract, one set of rules and one price list for all sites.",
        BUYER,
        "Pilot plan: one site first, a second one only when both of us agree on the result",
        "What do you have to ask each site by telephone today?",
        "They describe a decision that needs figures from more than one site.",
        "Do not promise that all sites go live on one day.",
    ),
    "security_proof": (
        "Safe enough to pass your own review, and open about how.",
        "You get the answers to your security people before they ask.",
        "Questionnaire, data flow and roles are ready for your review on day one.",
        EVALUATOR,
        "Completed security questionnaire and a data-flow drawing",
        "Who has to sign off on security, and what made them say no last time?",
        "They name the reviewer and the date of the next review.",
        "Do not show a certificate that we do not hold.",
    ),
    "fast_start": (
        "Start small and soon: a first useful screen before a big project.",
        "You can show your team something that works within the first weeks.",
        "Your people keep working while we set up: training comes in short pieces.",
        USER,
        "Written start plan with the steps of both sides and a named stop rule",
        "What has to work on the first morning so that your people come back in the afternoon?",
        "They can name one task that must be better at once.",
        "Do not name a go-live date before the interface test.",
    ),
    "low_price": (
        "Pay for the sites and screens that you use, and see the price before you talk to us.",
        "You can take a clear price to your manager, without small print.",
        "The price list is public, and what is not in it costs nothing.",
        BUYER,
        "Price list and a calculation sheet that you fill in with your own figures",
        "What does an hour of waiting cost you, and who pays for it?",
        "They compare with the cost of today's way of working, not only with another offer.",
        "Do not calculate a saving for them: give them the sheet.",
    ),
    "slot_booking": (
        "Hauliers book their own time, and your gate knows what is coming.",
        "Fewer calls in the morning: the list of arrivals is there before the first truck.",
        "The driver sees the slot on the telephone and you see who is late.",
        USER,
        "Trial of the booking page with two of your hauliers",
        "What happens at the gate between seven and nine?",
        "They know how long trucks wait, or want to know.",
        "Do not promise that queues go away: we show and spread them.",
    ),
    "berth_planning": (
        "A quay plan that moves with the ship, and that everybody sees at once.",
        "When a ship is late, the new plan is there before the next call.",
        "Every change of plan is kept, with its reason.",
        EVALUATOR,
        "Replay of one of your own weeks, from your files, in a working session",
        "How do you plan again when a ship is half a day late?",
        "They let the planner speak, and the planner has a list.",
        "Do not speak of an optimal plan: the planner decides.",
    ),
    "labour_planning": (
        "The right crew at the right time, planned together with the work.",
        "You stop planning people in one place and work in another.",
        "Overtime is seen before it happens, not in the next month's figures.",
        BUYER,
        "Reference visit on request, agreed with the other side first",
        "When did you last have people waiting for work, or work waiting for people?",
        "They can tell the last time, and what it did to the shift.",
        "Do not advise on working-time law.",
    ),
    "compliance": (
        "Customs and safety papers are filled in from the plan, not from memory.",
        "You keep one file per call, ready when somebody asks for it.",
        "Every paper shows who changed what, and when.",
        EVALUATOR,
        "Sample file of one call with every paper in it",
        "Which paper is asked for most often, and how long does it take to find it?",
        "They name the paper and the authority.",
        "Do not say that we take over their duty to declare.",
    ),
    "reporting": (
        "The figures that you owe others, every month, without a weekend of copying.",
        "The report is ready when the month is over, and its figures can be traced.",
        "One definition per figure, the same for every site and customer.",
        BUYER,
        "Example report with the definition of every figure",
        "Which report would you be glad never to build by hand again?",
        "They can show the report and say who reads it.",
        "Do not promise figures that their data cannot hold.",
    ),
    "mobile": (
        "The plan is where the work is: on the quay, in the aisle, at the gate.",
        "Your people see their next task without walking to the office.",
        "It works with gloves, in the sun and without a network for a while.",
        USER,
        "Loan of two tablets for one shift",
        "How does a change of plan reach the person on the quay?",
        "They ask to let a foreman try it.",
        "Do not promise work without a network for a whole shift.",
    ),
    "local_support": (
        "People who answer in your language and know what a night shift is.",
        "You call, and somebody answers who has stood on a quay.",
        "Support hours and answer times are in the contract.",
        BUYER,
        "The support page of the contract, to read before the offer",
        "When did you last need help outside office hours?",
        "They tell who calls, at what hour, in which language.",
        "Do not offer a language that is not on the list.",
    ),
}

_ANSWERS: dict[str, str] = {
    "low_price": "Put today's waiting and overtime beside it. If it does not pay, we both know early.",
    "change_effort": "Begin with one task and one team. You decide about the next step.",
    "integration": "Bring one day's files. We show what crosses over, and what does not, before you decide.",
    "security_proof": "Here is the completed questionnaire. Let our people and your reviewer speak.",
    "data_ownership": "They stay yours: take them out at any time, in open formats, also on the last day.",
    "contract_length": "Take the short term first. The longer one is cheaper, and it can wait.",
    "fast_start": "Then let us pick the smallest thing that helps, and write down who does what until when.",
    "local_support": "Call the support line in your own night shift before you sign.",
}


def texts_by_topic() -> list[Written]:
    """Return the texts of every need, then the answer to its objection; two objections are about no need."""
    rows: list[Written] = []
    for topic in dict.fromkeys([*_NEEDS, *_ANSWERS]):
        rows += _of_need(topic) if topic in _NEEDS else []
        if topic in _ANSWERS:
            rows.append(Written("answer", f"Answer about {_name(topic)}", _ANSWERS[topic], topic=topic))
    return rows


def _name(topic: str) -> str:
    return topic.replace("_", " ")


def _of_need(topic: str) -> list[Written]:
    value, champion, other, role, proof, question, good, limit = _NEEDS[topic]
    name = _name(topic)
    return [
        Written("value_proposition", f"Why {name}", value, topic=topic),
        Written("message", f"{name.capitalize()}, for the champion", champion, CHAMPION, topic=topic),
        Written("message", f"{name.capitalize()}, for the {_name(role)}", other, role, topic=topic),
        Written("proof", f"Proof for {name}", proof, topic=topic),
        Written(
            "question",
            f"Question about {name}",
            f"{question} Good answer: {good[0].lower()}{good[1:]}",
            topic=topic,
        ),
        Written("limit", f"What not to claim about {name}", limit, topic=topic),
    ]
