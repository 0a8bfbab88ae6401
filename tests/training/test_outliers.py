from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parked.errors import SettingError
from training.outliers import OutlierRule, OutlierRules, find_outliers, load_outliers

FILE = Path("outliers.yaml")


def rule(op: str, value: object = None, column: str = "x") -> OutlierRule:
    return OutlierRule(name="r", column=column, op=op, value=value, why="because")  # type: ignore[arg-type]


def load(folder: Path, text: str) -> OutlierRules:
    file = folder / "outliers.yaml"
    file.write_text(text, encoding="utf-8")
    return load_outliers(file)


@pytest.mark.parametrize(
    ("op", "value", "dropped"),
    [
        ("<", 2, [True, False, False, False]),
        ("<=", 2, [True, True, False, False]),
        (">", 2, [False, False, True, False]),
        (">=", 2, [False, True, True, False]),
        ("==", 2, [False, True, False, False]),
        ("!=", 2, [True, False, True, False]),
        ("in", [1, 3], [True, False, True, False]),
        ("not_in", [1, 3], [False, True, False, False]),
        ("is_null", None, [False, False, False, True]),
        ("is_not_null", None, [True, True, True, False]),
    ],
)
def test_a_rule_drops_the_rows_where_it_holds_and_a_missing_value_satisfies_no_comparison(op, value, dropped):
    assert rule(op, value).hits(pd.Series([1.0, 2.0, 3.0, np.nan])).tolist() == dropped


def test_an_empty_category_counts_as_missing():
    assert rule("is_null").hits(pd.Series(["", "a"])).tolist() == [True, False]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1), st.floats(-10, 10))
def test_below_and_not_below_share_the_rows_that_have_a_value(values, limit):
    column = pd.Series(values, dtype="float64")
    below, above = rule("<", limit).hits(column), rule(">=", limit).hits(column)
    assert not (below & above).any()
    assert ((below | above) == column.notna().to_numpy()).all()


def test_every_rule_counts_its_own_hits():
    rules = OutlierRules(
        version="1",
        rules=(
            OutlierRule(name="big", column="x", op=">", value=1, why="w"),
            OutlierRule(name="huge", column="x", op=">", value=2, why="w"),
        ),
    )
    drop, counts = find_outliers(rules, pd.DataFrame({"x": [1.0, 2.0, 3.0]}), FILE)
    assert drop.tolist() == [False, True, True]
    assert counts == {"big": 2, "huge": 1}


def test_an_unknown_column_names_file_rule_and_the_likely_one():
    rules = OutlierRules(version="1", rules=(rule(">", 1, column="uncertanty_m"),))
    with pytest.raises(
        SettingError, match=r"outliers\.yaml: rule 'r': no column 'uncertanty_m'; did you mean uncertainty_m"
    ):
        find_outliers(rules, pd.DataFrame({"uncertainty_m": [1.0]}), FILE)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{name: odd, column: x, op: '>>', value: 1, why: w}", "rule 'odd', op"),
        ("{name: odd, column: x, op: '>', value: high, why: w}", "rule 'odd': op > compares with a number"),
        ("{name: odd, column: x, op: in, value: 1, why: w}", "takes a list"),
        ("{name: odd, column: x, op: '>', value: 1}", "rule 'odd', why"),
        ("{name: odd, column: x, op: is_null, value: 1, why: w}", "takes no value"),
        ("{column: x, op: is_null, why: w}", "rule 'number 1', name"),
        ("just text", "rule 'number 1'"),
    ],
)
def test_a_faulty_rule_is_named_with_its_fault(tmp_path, line, says):
    with pytest.raises(SettingError, match=says) as caught:
        load(tmp_path, f"version: '1'\nrules:\n  - {line}\n")
    assert "outliers.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_rules_of_one_name_are_refused(tmp_path):
    twice = "  - {name: a, column: x, op: is_null, why: w}\n" * 2
    with pytest.raises(SettingError, match="'a' is used twice"):
        load(tmp_path, f"version: '1'\nrules:\n{twice}")
