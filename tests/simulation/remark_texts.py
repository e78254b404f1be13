"""The words of the remarks, by kind and topic. No names, addresses, figures or quotes of real people."""

PAIN: dict[str, tuple[str, ...]] = {
    "integration": (
        "Plans are typed twice, mistakes creep in.",
        "Three systems, three truths about one order.",
    ),
    "multi_site": (
        "Head office asks every site by telephone.",
        "Each site plans its own way, nobody sees the whole.",
    ),
    "security_proof": (
        "Last supplier failed the security review.",
        "Reviewers wait for a data-flow drawing.",
    ),
    "fast_start": ("High season is near, they need help soon.", "An earlier project never went live."),
    "low_price": ("Every cost is questioned this year.", "Margins are thin, price comes first."),
    "slot_booking": ("Trucks queue at the gate every morning.", "Hauliers call all day to ask for a time."),
    "berth_planning": ("A late ship turns the whole week over.", "The quay plan lives on a white board."),
    "labour_planning": (
        "Crews wait for work on some days, work waits on others.",
        "Overtime is known only at month end.",
    ),
    "compliance": (
        "Customs papers take half of the clerk's day.",
        "Safety papers are hard to find when asked for.",
    ),
    "reporting": ("Monthly figures are copied by hand.", "Head office and site count differently."),
    "mobile": ("Foremen walk to the office for the next task.", "Changes reach the quay by shouting."),
    "local_support": ("Nobody answers at night.", "Support speaks another language."),
}

OBJECTION: dict[str, tuple[str, ...]] = {
    "low_price": (
        "Finds it too dear compared with a spreadsheet.",
        "Says the price is above the plan for this year.",
    ),
    "change_effort": ("Fears that the team will not go along.", "Too many changes at once already."),
    "integration": (
        "Doubts that it will work with the old system.",
        "Wants the interface before talking on.",
    ),
    "security_proof": ("Security has to agree first.", "No cloud without a review."),
    "data_ownership": ("Asks who owns the data afterwards.", "Wants to be able to leave with all data."),
    "contract_length": ("Does not want to be bound for years.", "Asks for a way out after the first season."),
}

TRIGGER: dict[str, tuple[str, ...]] = {
    "integration": ("Old system reaches its end of life.",),
    "multi_site": ("Took over another site.",),
    "security_proof": ("New security rules from head office.",),
    "fast_start": ("A new customer starts soon.",),
    "low_price": ("Cost programme has begun.",),
    "slot_booking": ("The town complains about queues.",),
    "berth_planning": ("A new line calls from spring on.",),
    "labour_planning": ("Hard to find people for shifts.",),
    "compliance": ("An inspection is announced.",),
    "reporting": ("A customer asks for monthly figures.",),
    "mobile": ("New tablets were bought.",),
    "local_support": ("Their supplier closed the local office.",),
}

QUESTION: dict[str, tuple[str, ...]] = {
    "integration": ("Which interfaces are ready?",),
    "multi_site": ("Can a site keep its own rules?",),
    "security_proof": ("Where are the data kept?",),
    "fast_start": ("How soon could one team begin?",),
    "low_price": ("What is not in the price?",),
    "slot_booking": ("Can a haulier change a slot on the road?",),
    "berth_planning": ("What happens to the plan when a ship is late?",),
    "labour_planning": ("Does it know the shift rules?",),
    "compliance": ("Which papers does it fill in?",),
    "reporting": ("Can we define figures ourselves?",),
    "mobile": ("Does it work without a network?",),
    "local_support": ("Who answers on a Sunday?",),
}

LOSS: dict[str, tuple[str, ...]] = {
    "price": ("It cost more than we wanted to spend.", "We could not explain the price to our manager."),
    "budget": ("The money went to something else.",),
    "timing": ("It came at the wrong time of the year.", "We will look again after the season."),
    "no_need": ("In the end it was not urgent enough.",),
    "product_gap": ("One thing that we need every day was missing.", "It did not fit the way we load."),
    "competitor": ("Another product fitted better.",),
    "internal_solution": ("Our own people built something.", "We made the old sheet better instead."),
    "trust": (
        "We were not sure that the start would go well.",
        "We did not meet anybody who knows our kind of site.",
    ),
    "no_response": ("We never got an answer to our last question.",),
    "other": ("It was a mix of reasons.",),
}

REJECTION: dict[str, tuple[str, ...]] = {
    "too_early": ("Only reading up, no plan yet.", "Wants to talk next year."),
    "wrong_person": ("Has no say in it, no path to somebody who has.",),
    "no_budget": ("Likes it, but there is no money this year.",),
    "no_need": ("Has a system that does the job.",),
    "unreachable": ("Did not answer any of our calls.",),
    "duplicate": ("Already known under another lead.",),
}

FEEDBACK: dict[str, tuple[str, ...]] = {
    "fast_start": (
        "The page about a small start opens doors.",
        "Buyers ask for the start plan in the first call.",
    ),
    "low_price": ("Please say the price sooner, calls end there.",),
    "integration": ("The interface list is what technical people want first.",),
    "slot_booking": ("The gate worksheet works best with two hauliers in the room.",),
    "security_proof": ("Send the questionnaire before the first talk.",),
    "labour_planning": ("People like the part about crews, more of it please.",),
    "compliance": ("We need one example file for customs.",),
    "mobile": ("The loan of tablets takes too long to arrange.",),
}

# On purpose: what an export may hold, and what no document may execute.
HOSTILE: tuple[str, ...] = (
    "<script>alert(1)</script> wants a call back",
    '=HYPERLINK("https://example.invalid/","offer")',
    '<img src=x onerror="alert(2)"> asked for the price list',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "[open](javascript:alert(3)) sent the wrong file",
    "</td></tr></table><h1>Not a heading</h1>",
)
