"""market.toml: every key that is wrong is named, with the file and what is allowed."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from closedloop.errors import DefinitionError, ParameterError
from closedloop.market.definition import Definition, check_slug, markets, read_definition
from closedloop.market.reference import reference

GOOD = """\
title = "Tiny"
licence = "CC0-1.0"
currency = "EUR"
clock = "day"
extracted_on = 2024-06-30

[periods]
first = "2024-q1"
length = "quarter"

[sources.calls]
file = "calls.csv"
"""
Write = Callable[[str], Definition]


@pytest.fixture
def write(tiny_root: Path) -> Write:
    """Write market.toml of the market ``tiny`` and read it."""

    def read(text: str) -> Definition:
        folder = tiny_root / "data" / "tiny"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "market.toml").write_text(text, "utf-8")
        return read_definition("tiny")

    return read


def test_defaults_and_given_values(write: Write) -> None:
    definition = write(GOOD)
    assert (definition.name, definition.title, definition.extracted_on) == ("tiny", "Tiny", date(2024, 6, 30))
    assert (definition.timezone, definition.privacy, definition.accept) == ("UTC", "strict", "auto")
    claims = definition.claims
    assert (claims.practical_threshold, claims.smallest_worth, claims.window, claims.planned_periods) == (
        0.03,
        0.1,
        4,
        8,
    )
    assert (definition.call_list.random_share, definition.call_list.oldest_days) == (0.1, None)
    assert definition.experiments == {}
    source = definition.sources["calls"]
    assert (source.delimiter, source.quote, source.encoding, source.member) == (",", '"', "utf-8", ())


def test_an_experiment_may_name_its_control(write: Write) -> None:
    assert write(GOOD + '[experiments.opening-message]\ncontrol = "a"\n').experiments["opening-message"].control == "a"


def test_criteria_of_targets_are_given_or_usual(write: Write) -> None:
    usual = write(GOOD).criteria
    assert usual.attractiveness.counted == {"size": 1, "growth": 1, "won_amount": 1, "needs_served": 1}
    assert (usual.smallest_share, usual.smallest_accounts, usual.least_stability) == (0.05, 0, 0.75)


def test_a_criterion_that_is_not_named_does_not_count(write: Write) -> None:
    given = write(GOOD + "[criteria]\nsmallest_accounts = 40\n[criteria.strength]\nsales_cycle = 2\n")
    assert given.criteria.strength.counted == {"sales_cycle": 2}
    assert given.criteria.smallest_accounts == 40
    assert len(given.criteria.attractiveness.counted) == 4  # an axis that is not named keeps the usual weights
    assert "criteria" in given.model_fields_set


def test_fields_labels_and_moments(write: Write) -> None:
    definition = write(
        GOOD
        + '[fields.leads]\ncreation = ["job"]\n"close+90" = ["score"]\n'
        + '[fields.deals]\nstage = ["account_id"]\n'
        + '[items]\nwants_x = "Do you want x?"\n[labels]\njob = "occupation"\n"job.admin." = "administration"\n'
    )
    assert definition.known_at("leads") == {"job": "creation", "score": "close+90"}
    assert definition.known_at("notes") == {}
    moments = [("leads", "job"), ("leads", "score"), ("deals", "account_id"), ("leads", "account_id")]
    assert [definition.moment(*cell) for cell in moments] == ["creation", "close+90", "stage", "creation"]
    assert definition.moment("leads", "handed_off_at") == "handoff"  # the twin of handed_off_on
    assert definition.moment("leads", "shoe_size") is None
    assert [definition.moment(table, "wants_x") for table in ("respondents", "leads")] == ["research", None]
    assert [definition.label("job"), definition.label("job", "admin."), definition.label("job", "nurse")] == [
        *("occupation", "administration", "nurse"),
    ]
    assert [definition.label("wants_x"), definition.label("first_touch")] == ["Do you want x?", "first touch"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("title =", "titel ="), ["titel", "unknown key", "allowed: title"]),
        (('file = "calls.csv"', 'file = "calls.csv"\nsha = "0"'), ["sources.calls.sha", "unknown key", "sha256"]),
        (("[periods]", '[deals]\nstagez = []\noutcomes = ["won"]\n[periods]'), ["deals.stagez", "stages, outcomes"]),
        (("[periods]", "[claims]\nwindows = 2\n[periods]"), ["claims.windows", "practical_threshold"]),
        (("[periods]", "[call_list]\nshare = 0.1\n[periods]"), ["call_list.share", "unknown key", "random_share"]),
        (("[periods]", "[call_list]\nrandom_share = 10\n[periods]"), ["call_list.random_share", "0.5", "found '10'"]),
        (("[periods]", "[call_list]\noldest_days = 0\n[periods]"), ["call_list.oldest_days", "greater than or equal"]),
        (("[periods]", '[experiments.opening]\narm = "a"\n[periods]'), ["experiments.opening.arm", "allowed: control"]),
        (("[periods]", '[goals."2024-q1"]\nleads = 2\n[periods]'), ["goals.2024-q1.leads", "n_leads"]),
        (
            ("[periods]", "[criteria]\nsmallest = 0.1\n[periods]"),
            ["criteria.smallest", "unknown key", "smallest_share"],
        ),
        (("[periods]", "[criteria]\nsmallest_share = 10\n[periods]"), ["criteria.smallest_share", "less than 1"]),
        (
            ("[periods]", "[criteria.strength]\nwin_rates = 1\n[periods]"),
            ["criteria.strength.win_rates", "allowed: win_rate, sales_cycle, materials_ready"],
        ),
        (
            ("[periods]", "[criteria.attractiveness]\nsize = 0\n[periods]"),
            [
                "criteria.attractiveness",
                "one weight above 0",
                "size, growth, won_amount, won_amount_per_decided, needs_served",
            ],
        ),
        (("[periods]", "[criteria.strength]\nwin_rate = -1\n[periods]"), ["criteria.strength.win_rate", "-1"]),
        (('currency = "EUR"\n', ""), ["currency", "Field required"]),
        (('"EUR"', '"euro"'), ["currency", "'euro'"]),
        (('clock = "day"', 'clock = "hour"'), ["clock", "'hour'", "'day', 'month', 'order' or 'none'"]),
        (("extracted_on = 2024-06-30\n", ""), ['clock = "day"', "extracted_on"]),
        (('clock = "day"', 'clock = "none"'), ["no dates", "leave out extracted_on and [periods]"]),
        (('clock = "day"', 'clock = "order"'), ["periods.length", "'quarter'", "a number of positions"]),
        (('"quarter"', "4"), ["periods.length", "4", "month, quarter, half, year"]),
        (('"quarter"', '"week"'), ["periods.length", "'week'"]),
        (
            ('"quarter"', "0"),
            ["periods.length", "'0'", "month, quarter, half, year, or a number of positions from 1 on"],
        ),
        (("[periods]", "[claims]\nwindow = 0\n[periods]"), ["claims.window", "greater than or equal to 1"]),
        (("[periods]", '[fields.lead]\ncreation = ["job"]\n[periods]'), ["[fields.lead]", "accounts, leads"]),
        (("[periods]", '[fields.leads]\nlater = ["job"]\n[periods]'), ["fields.leads.later", "'later'"]),
        (("[periods]", '[fields.leads]\n"close+0" = ["job"]\n[periods]'), ["fields.leads.close+0"]),
        (
            ("[periods]", '[fields.leads]\ncreation = ["job"]\nclose = ["job"]\n[periods]'),
            ["[fields.leads]", "'job' twice", "one moment"],
        ),
        (('"calls.csv"', '"calls.csv"\nurl = "https://x.org/calls.csv"'), ["sources.calls", "needs its sha256"]),
        (('"calls.csv"', '"calls.csv"\nsha256 = "abc"'), ["sources.calls.sha256", "'abc'"]),
        (('"calls.csv"', '"../calls.csv"'), ["sources.calls", "inside the market's folder"]),
        (('"calls.csv"', '"/etc/passwd"'), ["sources.calls", "inside the market's folder"]),
        (('"calls.csv"', '"calls.csv"\nencoding = "utf-9"'), ["sources.calls", "'utf-9'", "cp1252"]),
        (('"calls.csv"', '"calls.csv"\ndelimiter = "::"'), ["sources.calls.delimiter", "'::'"]),
        (('"calls.csv"', '"calls.csv"\nquote = ""'), ["sources.calls.quote"]),
        (("[periods]", '[deals]\noutcomes = ["open"]\n[periods]'), ["deals.outcomes.0", "'open'", "'won'"]),
        (('title = "Tiny"', 'title = "Tiny'), ["cannot be read as TOML", "line 1"]),
    ],
)
def test_what_is_wrong_is_named(write: Write, change: tuple[str, str], words: list[str]) -> None:
    with pytest.raises(DefinitionError) as caught:
        write(GOOD.replace(*change))
    message = str(caught.value)
    assert [word for word in ["data/tiny/market.toml", *words] if word not in message] == [], message


def test_a_name_in_the_file_cannot_replace_the_folders(write: Write) -> None:
    with pytest.raises(DefinitionError, match="'name'"):
        write('name = "harbor"\n' + GOOD)


def test_deals_need_their_outcomes_declared(write: Write, tiny_root: Path) -> None:
    (tiny_root / "data" / "tiny").mkdir(parents=True)
    (tiny_root / "data" / "tiny" / "deals.sql").write_text("select 1")
    with pytest.raises(DefinitionError, match=r"deals\.sql needs \[deals\]"):
        write(GOOD)


def test_a_byte_order_mark_is_read_over(write: Write) -> None:
    assert write("\ufeff" + GOOD).title == "Tiny"


def test_a_file_that_is_not_utf_8_is_named(tiny_root: Path) -> None:
    (tiny_root / "data" / "tiny").mkdir(parents=True)
    (tiny_root / "data" / "tiny" / "market.toml").write_bytes(b'title = "Caf\xe9"')
    with pytest.raises(DefinitionError, match=r"market\.toml: cannot be read as TOML"):
        read_definition("tiny")


@pytest.mark.parametrize("name", ["../tiny", "/etc", "Tiny", "a b", "", "-a", "a" * 65, "{0}", "tiny.toml", "tiny\n"])
def test_unsafe_names_are_refused(name: str) -> None:
    with pytest.raises(ParameterError, match=r"market = .* is no name; allowed: a-z"):
        read_definition(name)


def test_a_safe_name_is_given_back() -> None:
    assert check_slug("persona", "port-ops_2") == "port-ops_2"


def test_an_unknown_market_lists_the_known_ones(write: Write) -> None:
    write(GOOD)
    assert markets() == ["tiny"]
    with pytest.raises(ParameterError, match=r"'big' does not exist; allowed: tiny; add .*big/market\.toml"):
        read_definition("big")


def test_every_key_of_the_file_is_explained() -> None:
    keys = {name: field for name, field in Definition.model_fields.items() if name not in ("name", "folder")}
    assert [name for name, field in keys.items() if not field.description] == []
    assert "| `extracted_on` | date or `latest` | - | the last day that the data cover; latest: " in reference()
    assert "| `first` | text | refused |\n" in reference()  # a part is explained as a whole
