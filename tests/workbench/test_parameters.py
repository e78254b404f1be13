"""Parameters are declared, typed, and checked before anything runs."""

import pytest
from closedloop.errors import DefinitionError, ParameterError
from closedloop.workbench.notebooks import Parameter, check_values, declared
from hypothesis import given
from hypothesis import strategies as st

CELL = """from typing import Optional
market: str = "a # b"  # which market
n: int = 3  # how many
share: Optional[float] = None  # a share, or none
is_new: bool = True
by: Optional[list] = None  # fields to compare by
goals: Optional[dict] = None  # what was promised
learner: Any = None  # a classifier
"""
DECLARED = declared(CELL, "05_deals.ipynb")


def test_a_cell_is_read_with_types_defaults_and_help() -> None:
    assert (
        Parameter("market", "str", False, "a # b", "which market"),
        Parameter("n", "int", False, 3, "how many"),
        Parameter("share", "float", True, None, "a share, or none"),
        Parameter("is_new", "bool", False, True, ""),
        Parameter("by", "list", True, None, "fields to compare by"),
        Parameter("goals", "dict", True, None, "what was promised"),
        Parameter("learner", "Any", True, None, "a classifier"),
    ) == DECLARED
    types = ["str", "int", "Optional[float]", "bool", "Optional[list]", "Optional[dict]", "Any"]
    assert [parameter.type for parameter in DECLARED] == types


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("n = 3", r"line 1: found 'n = 3'; allowed: name: type = default"),
        ("n: int", r"line 1: found 'n: int'"),
        ("import os", r"found 'import os'"),
        ("n: set = None", r"type 'set'; allowed: str, int, float, bool, list, dict, Any, or Optional of one, no |"),
        ("n: int | None = None", r"type 'int \| None'; allowed: str, int, float, bool, list, dict, Any, or"),
        ("n: Optional[set] = None", r"type 'Optional\[set\]'"),
        ("n: list[str] = None", r"type 'list\[str\]'"),
        ("n: int = None", r"default None is no int"),
        ("n: int = len('a')", r"default \"len\('a'\)\"; allowed: a plain value"),
        ("n: int = 'a'", r"default 'a' is no int"),
        ("a: int = 1\nn: int = ", r"line 2: invalid syntax"),
    ],
)
def test_what_is_no_declaration_is_refused_with_its_line(cell: str, message: str) -> None:
    with pytest.raises(DefinitionError, match=f"x.ipynb: parameters, .*{message}"):
        declared(cell, "x.ipynb")


@pytest.mark.parametrize(
    ("name", "value", "is_fine"),
    [
        ("n", 3, True),
        ("n", True, False),
        ("n", 3.0, False),
        ("n", "3", False),
        ("n", None, False),
        ("share", 1, True),
        ("share", 0.5, True),
        ("share", None, True),
        ("share", float("nan"), False),
        ("is_new", 1, False),
        ("market", "b", True),
        ("market", 2024, True),  # papermill makes a number of `-p market 2024`
        ("market", True, True),
        ("market", ("b",), False),
        ("by", ["region", "size"], True),
        ("by", "region,size", True),  # papermill makes no list of `-p by region,size`
        ("by", None, True),
        ("by", {"region": 1}, False),
        ("by", [["region"]], False),
        ("goals", {"n_leads": 500}, True),
        ("goals", '{"n_leads": 500}', True),
        ("goals", {"n_leads": {"a": 1}}, False),
        ("goals", ["n_leads"], False),
        ("learner", None, True),
        ("learner", "GaussianNB", False),
    ],
)
def test_a_value_must_be_of_the_declared_type(name: str, value: object, is_fine: bool) -> None:
    if is_fine:
        check_values(DECLARED, {name: value}, "x.ipynb")
    else:
        with pytest.raises(ParameterError, match=f"x.ipynb: {name} = .*allowed: "):
            check_values(DECLARED, {name: value}, "x.ipynb")


def test_an_unknown_name_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(ParameterError, match=r"no parameter 'N'; allowed: market, n, share, is_new, by"):
        check_values(DECLARED, {"N": 3}, "x.ipynb")


@pytest.mark.parametrize(
    ("number", "text", "value"),
    [
        (0, "07", "07"),
        (1, "7", 7),
        (1, "-7", -7),
        (2, "0.5", 0.5),
        (2, "none", None),
        (3, "false", False),
        (3, "TRUE", True),
        (4, "region", ["region"]),
        (4, "region, size", ["region", "size"]),
        (4, '["a, b", "c"]', ["a, b", "c"]),
        (4, "None", None),
        (5, '{"n_leads": 500}', {"n_leads": 500}),
    ],
)
def test_text_from_the_command_line_becomes_the_declared_type(number: int, text: str, value: object) -> None:
    parsed = DECLARED[number].parse(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "7.5"),
        (1, ""),
        (2, "inf"),
        (2, "half"),
        (3, "1"),
        (3, "yes"),
        (4, ""),
        (4, "a,,b"),
        (4, '["a"'),
        (4, '[["a"]]'),
    ],
)
def test_text_that_is_no_value_is_refused(number: int, text: str) -> None:
    with pytest.raises(ParameterError, match=f"{DECLARED[number].name} = .+; allowed: "):
        DECLARED[number].parse(text)


@given(st.text())
def test_text_stays_as_it_is(text: str) -> None:
    assert DECLARED[0].parse(text) == text
