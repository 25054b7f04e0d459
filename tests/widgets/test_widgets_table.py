"""A table: what is sent of its columns, and what stays when other rows are shown."""

import json

import numpy as np
import pandas as pd
import pytest

from sercore.widgets.table import Table


@pytest.fixture
def table():
    made = Table(label="people", noun="people")
    rows = pd.DataFrame({"name": ["Zoë", "<b>", ""], "age": [3.25, np.nan, -1], "kind": ["a", "b", "a"]})
    made.show(rows, {"age": 2}, {"kind"})
    return made


def test_a_column_is_sent_at_once_as_numbers_or_as_text(table):
    name, age, kind = table.columns
    assert json.loads(name["values"]) == ["Zoë", "<b>", ""]
    assert np.frombuffer(age["values"], "<f8").tolist() == pytest.approx([3.25, np.nan, -1], nan_ok=True)
    assert [column["kind"] for column in (name, age, kind)] == ["text", "number", "choice"]
    assert age["digits"] == 2


def test_a_column_of_categories_is_sent_as_their_codes(table):
    kind = pd.Categorical(["sad", None, "angry"], ["angry", "happy", "sad"])
    table.show(pd.DataFrame({"truth": kind}), {}, {"truth"})
    (sent,) = table.columns
    assert (sent["kind"], sent["names"]) == ("choice", ["angry", "happy", "sad"])
    assert np.frombuffer(sent["values"], "<i4").tolist() == [2, -1, 0]


def test_other_rows_leave_nothing_selected_or_marked_and_keep_search_filters_and_order(table):
    table.search, table.filters, table.order = "z", {"age": ">3"}, ["age", "descending"]
    table.selected_rows, table.marked = [2], [1]
    table.show(pd.DataFrame({"age": [1.0]}), {"age": 0})
    assert (table.selected_rows, table.marked, len(table.df)) == ([], [], 1)
    assert (table.search, table.filters, table.order) == ("z", {"age": ">3"}, ["age", "descending"])


def test_the_page_is_given_all_of_it(table):
    state = table.get_state()
    assert state["_esm"].startswith("// A table of many rows")
    assert [column["title"] for column in state["columns"]] == ["name", "age", "kind"]
    assert (state["label"], state["noun"]) == ("people", "people")
