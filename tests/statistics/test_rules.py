"""Assignment rules: readable, serialisable, and the same in pandas and in the database."""

import json

import duckdb
import numpy as np
import pandas as pd
import pytest
from closedloop.errors import ParameterError
from closedloop.statistics.rule_tree import assignment_rule, cross_validated_error
from closedloop.statistics.rules import Among, Between, Branch, Rule
from hypothesis import given, settings
from hypothesis import strategies as st

HOSTILE = ["it's", 'say "so"', "a;--", "100%", "é", " ", "", "nan", "NULL", "1"]


def rng(seed=0):
    return np.random.default_rng(seed)


def in_database(rule, frame):
    """The rule's labels as DuckDB gives them."""
    rows = frame.reset_index(drop=True).rename_axis("row_no").reset_index()  # noqa: F841 - read by the query
    return duckdb.sql(f"SELECT {rule.to_sql()} AS label FROM rows ORDER BY row_no").df()["label"].tolist()


def market(n=400, seed=1):
    draw = rng(seed)
    frame = pd.DataFrame(
        {
            "site_type": draw.choice(["port", "rail", "depot", None], n, p=[0.4, 0.3, 0.2, 0.1]),
            "n_sites": np.where(draw.random(n) < 0.1, np.nan, draw.integers(1, 30, n)),
            "is_client": pd.array(draw.choice([True, False], n), dtype="boolean"),
        }
    )
    label = np.select(
        [frame["site_type"].isna(), frame["n_sites"] > 12, frame["site_type"] == "rail"],
        ["unknown", "large", "rail"],
        "small",
    )
    return frame, pd.Series(label, index=frame.index)


def test_a_rule_finds_what_was_planted():
    fields, labels = market()
    rule = assignment_rule(fields, labels, rng=rng())
    assert (rule.assign(fields) == labels).all()
    assert rule.fields == ("site_type", "n_sites")
    assert rule.default == labels.value_counts().idxmax()
    assert sum(branch.n for branch in rule.branches) == 400
    assert all(branch.share_right == 1 for branch in rule.branches)


def test_sentences_say_the_conditions():
    fields, labels = market()
    ways = assignment_rule(fields, labels, rng=rng()).sentences()
    assert ways["unknown"] == ["site_type is missing"]
    assert ways["large"] == ["site_type is depot, port or rail, and n_sites is above 12", "everyone else"]
    assert ways["rail"] == ["site_type is rail, and n_sites is up to 12 or missing"]


def test_missing_and_unseen_values_get_a_label():
    fields, labels = market()
    rule = assignment_rule(fields, labels, rng=rng())
    rows = pd.DataFrame(
        {
            "site_type": ["airport", None, "rail", "port"],
            "n_sites": [3, 99, np.nan, 12],
            "is_client": [True] * 4,
        }
    )
    assert rule.assign(rows).tolist() == [rule.default, "unknown", "rail", "small"]
    assert in_database(rule, rows) == rule.assign(rows).tolist()


def test_first_branch_wins_and_labels_are_text():
    rule = Rule((Branch((Among("a", ("x",)),), "1", 1, 1.0), Branch((), "2", 1, 1.0)), "3", ("a",))
    rows = pd.DataFrame({"a": ["x", "y", None]}, index=[7, 8, 9])
    assert rule.assign(rows).to_dict() == {7: "1", 8: "2", 9: "2"}
    assert in_database(rule, rows) == ["1", "2", "2"]


def test_bounds_leave_out_the_lower_and_take_in_the_upper_end():
    rows = pd.DataFrame({"a": [1.0, 1.1, 2.0, 2.1, np.nan, np.inf]})
    assert Between("a", 1.0, 2.0).holds(rows).tolist() == [False, True, True, False, False, False]
    assert Between("a", None, 2.0, missing=True).holds(rows).tolist() == [True, True, True, False, True, False]
    assert Between("a", 2.0).holds(rows).tolist() == [False, False, False, True, False, True]
    assert Between("a", missing=True, known=False).holds(rows).tolist() == [False] * 4 + [True, False]


def test_a_number_that_is_only_known_or_missing():
    draw = rng(2)
    values = np.where(draw.random(200) < 0.4, np.nan, draw.normal(size=200))
    labels = pd.Series(np.where(np.isnan(values), "gap", "known"))
    rule = assignment_rule(pd.DataFrame({"a": values}), labels, rng=rng())
    assert rule.sentences()["gap"] == ["a is missing"]
    rows = pd.DataFrame({"a": [np.nan, -1e9, 0.0, 1e9]})
    assert rule.assign(rows).tolist() == ["gap", "known", "known", "known"]
    assert in_database(rule, rows) == ["gap", "known", "known", "known"]


def test_nan_and_null_are_both_missing_in_the_database():
    rule = Rule((Branch((Between("a", 0.0, missing=True),), "in", 1, 1.0),), "out", ("a",))
    query = f"SELECT {rule.to_sql()} AS label FROM (VALUES ('NaN'::DOUBLE), (NULL), (1.0), (-1.0)) AS t(a)"
    assert duckdb.sql(query).df()["label"].tolist() == ["in", "in", "in", "out"]
    closed = Rule((Branch((Between("a", 0.0),), "in", 1, 1.0),), "out", ("a",))
    query = f"SELECT {closed.to_sql()} AS label FROM (VALUES ('NaN'::DOUBLE), (NULL), (1.0), (-1.0)) AS t(a)"
    assert duckdb.sql(query).df()["label"].tolist() == ["out", "out", "in", "out"]


def many_levels(n_levels: int) -> tuple[pd.DataFrame, pd.Series]:
    """Of ``n_levels`` codes the first eight are half of all records; the first three of them lead to one label."""
    draw = rng(9)
    chance = np.where(np.arange(n_levels) < 8, 9.0, 72 / (n_levels - 8))
    code = draw.choice(n_levels, 3000, p=chance / chance.sum())
    fields = pd.DataFrame({"code": [f"C{value:03d}" for value in code], "is_client": draw.random(3000) < 0.5})
    return fields, pd.Series(np.where(np.isin(code, [0, 1, 2]), "first", "rest"))


def test_a_branch_names_few_of_many_levels_and_pools_the_others():
    fields, labels = many_levels(300)
    rule = assignment_rule(fields, labels, rng=rng())
    named = [condition for branch in rule.branches for condition in branch.conditions]
    assert {branch.label for branch in rule.branches} == {"first", "rest"}
    assert max(len(condition.levels) for condition in named) <= 8
    assert (rule.assign(fields) == labels).all()
    assert in_database(rule, fields) == labels.tolist()
    assert rule.sentences() == {
        "first": ["code is C000, C001 or C002"],
        "rest": ["code is none of C000, C001 or C002", "everyone else"],
    }
    assert Rule.from_dict(json.loads(json.dumps(rule.to_dict(), allow_nan=False))) == rule


def test_fifteen_levels_are_all_named():
    fields, labels = many_levels(15)
    rule = assignment_rule(fields, labels, rng=rng())
    rest = next(branch for branch in rule.branches if branch.label == "rest").conditions[0]
    assert rest.levels == tuple(f"C{value:03d}" for value in range(3, 15))
    assert not rest.others


def test_all_others_are_those_that_are_known():
    rows = pd.DataFrame({"a": ["x", "y", "z", None]})
    for missing in (False, True):
        rule = Rule((Branch((Among("a", ("x", "y"), missing, others=True),), "in", 1, 1.0),), "out", ("a",))
        assert rule.assign(rows).tolist() == ["out", "out", "in", "in" if missing else "out"]
        assert in_database(rule, rows) == rule.assign(rows).tolist()
    known = Among("a", (), others=True)
    assert known.holds(rows).tolist() == [True, True, True, False]
    assert in_database(Rule((Branch((known,), "in", 1, 1.0),), "out", ("a",)), rows) == ["in", "in", "in", "out"]
    assert known.sentence() == "a is known"


def test_conditions_on_levels_combine_as_the_rows_that_they_hold_do():
    rows = pd.DataFrame({"a": ["x", "y", "z", None]})
    some = [(), ("x",), ("x", "y"), ("y", "z")]
    every = [Among("a", levels, gaps, others) for levels in some for gaps in (False, True) for others in (False, True)]
    for one in every:
        assert (one.opposite().holds(rows) == ~one.holds(rows)).all()
        for other in every:
            assert (one.both(other).holds(rows) == one.holds(rows) & other.holds(rows)).all()
            if one.is_within(other):
                assert not (one.holds(rows) & ~other.holds(rows)).any()
    assert Among("a", ("x",)).is_within(Among("a", ("y",), others=True))
    assert not Among("a", ("x",), others=True).is_within(Among("a", ("y", "z")))


def test_names_and_values_are_quoted():
    rule = Rule((Branch((Among('a"; DROP', ("it's", "x' OR '1'='1")),), "o'k", 1, 1.0),), "no", ('a"; DROP',))
    rows = pd.DataFrame({'a"; DROP': ["it's", "y", "x' OR '1'='1"]})
    assert in_database(rule, rows) == ["o'k", "no", "o'k"]


def test_a_rule_survives_writing_and_reading():
    fields, labels = market()
    rule = assignment_rule(fields, labels, rng=rng())
    assert Rule.from_dict(json.loads(json.dumps(rule.to_dict(), allow_nan=False))) == rule


def test_a_broken_rule_says_what_is_absent():
    with pytest.raises(ParameterError, match="'default' is absent"):
        Rule.from_dict({"branches": [], "fields": []})
    with pytest.raises(ParameterError, match="'site_type', which is absent from"):
        assignment_rule(*market(), rng=rng()).assign(pd.DataFrame({"other": [1]}))


@pytest.mark.parametrize("labels", [[None, None], []])
def test_nothing_to_learn_from_is_refused(labels):
    with pytest.raises(ParameterError, match="0 labels"):
        assignment_rule(pd.DataFrame({"a": ["x"] * len(labels)}), pd.Series(labels, dtype=object), rng=rng())


def test_one_label_or_one_level_gives_the_default_to_all():
    one_label = assignment_rule(pd.DataFrame({"a": list("xyxy")}), pd.Series(["k"] * 4), rng=rng())
    assert one_label.assign(pd.DataFrame({"a": ["x", "new"]})).tolist() == ["k", "k"]
    one_level = assignment_rule(pd.DataFrame({"a": ["x"] * 5}), pd.Series(list("kkklm")), rng=rng())
    assert one_level.branches == ()
    assert in_database(one_level, pd.DataFrame({"a": ["x", None]})) == ["k", "k"]


def test_no_more_leaves_than_asked_for():
    draw = rng(4)
    fields = pd.DataFrame({"a": draw.normal(size=500), "b": draw.choice(list("abcdefgh"), 500)})
    labels = pd.Series(draw.integers(0, 6, 500))
    rule = assignment_rule(fields, labels, max_leaves=4, rng=rng())
    assert 1 < len(rule.branches) <= 4
    assert all(branch.n >= 5 for branch in rule.branches)


def test_cross_validated_error_of_a_true_rule_and_of_noise(validity):
    fields, labels = market(600)
    known = cross_validated_error(fields, labels, rng=rng())
    validity("rule-error", known.error, n=len(labels))
    assert known.guessing == pytest.approx(1 - labels.value_counts(normalize=True).max())
    noise = cross_validated_error(fields, pd.Series(rng(3).permutation(labels)), rng=rng())
    assert noise.error >= noise.guessing - 0.05
    assert np.isnan(cross_validated_error(fields.head(4), labels.head(4), rng=rng()).error)


def test_the_same_seed_gives_the_same_rule_and_leaves_its_input_alone():
    fields, labels = market()
    before = fields.copy()
    assert assignment_rule(fields, labels, rng=rng(3)) == assignment_rule(fields, labels, rng=rng(3))
    pd.testing.assert_frame_equal(fields, before)


@st.composite
def tables(draw):
    n = draw(st.integers(8, 40))
    texts = st.one_of(st.none(), st.sampled_from([*HOSTILE, "p", "q"]))
    numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32), st.sampled_from([0.1, 0.2, 0.30000000000000004]))
    column = lambda values: draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    return pd.DataFrame(
        {
            'odd "name"': pd.array(column(texts), dtype=object),
            "number": pd.array(column(numbers), dtype="Float64"),
            "whole": pd.array(column(st.one_of(st.none(), st.integers(-3, 3))), dtype="Int64"),
            "is_on": pd.array(column(st.one_of(st.none(), st.booleans())), dtype="boolean"),
        }
    ), pd.Series(column(st.sampled_from(["a", "b'c", "d"])))


@settings(max_examples=60)
@given(tables(), tables())
def test_database_and_pandas_agree(learned_on, asked):
    fields, labels = learned_on
    rule = assignment_rule(fields, labels, rng=rng())
    for frame in (fields, asked[0]):
        assert in_database(rule, frame) == rule.assign(frame).tolist()
    assert Rule.from_dict(rule.to_dict()) == rule
