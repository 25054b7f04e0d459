"""A link to what a browser shows: the query of its address in Voila, a line of code to paste in JupyterLab.

The state of a browser is a mapping of names to values, written as the query of an address, so that it can be read and
typed: model=bert&cells=happy:sad.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

import anywidget
import traitlets

from sercore.analysis.markup import markup
from sercore.widgets.table import Table


def write(state: Mapping[str, object]) -> str:
    """`state` as a query, without the values that are None or empty."""
    known = {name: str(value) for name, value in state.items() if value not in (None, "")}
    return urlencode(known, quote_via=quote, safe=":,")


def read(query: str) -> dict[str, str]:
    """The state in a query; of a name that is there twice the last value."""
    return dict(parse_qsl(query.removeprefix("?")))


def write_places(places: Iterable[tuple[str, str]]) -> str:
    """Rows and columns of cells as one value."""
    return ",".join(":".join(quote(name, safe="") for name in place) for place in places)


def read_places(value: str) -> list[tuple[str, str]]:
    """The rows and columns in a value of `write_places`; what is no pair is passed on as one with an empty column."""
    pairs = (part.partition(":") for part in value.split(",") if part)
    return [(unquote(row), unquote(column)) for row, _, column in pairs]


OF_TABLE = ("search", "filters", "order")
"""Names of a table's state."""


def of_table(table: Table) -> dict[str, str]:
    """What `table` searches for, its filters and its order."""
    filters = write_places(table.filters.items())
    return {
        "search": table.search,
        "filters": filters,
        "order": write_places([tuple(table.order)] if table.order else []),
    }


def restore_table(table: Table, given: Mapping[str, str]) -> None:
    """Have `table` search, filter and sort as `given` says; titles that it does not have are no condition."""
    table.search = given.get("search", "")
    table.filters = dict(read_places(given.get("filters", "")))
    orders = [place for place in read_places(given.get("order", "")) if place[1] in ("ascending", "descending")]
    table.order = list(orders[0]) if orders else []


class Link(anywidget.AnyWidget):
    """Keeps the address of a page in Voila at `query`; elsewhere it shows the line of code. Drawn by link.js.

    `restore` is called with the query of the address when the page opens.
    """

    _esm = Path(__file__).parent / "link.js"
    call = traitlets.Unicode().tag(sync=True)  # the line of code but for its state
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)  # of the query: others of the address stay
    query = traitlets.Unicode().tag(sync=True)  # what is shown
    address = traitlets.Unicode().tag(sync=True)  # the query with which the page was opened

    def __init__(self, call: str, names: Iterable[str], restore: Callable[[str], None]) -> None:
        """Make one of a browser that is made by `call`, as "confusions.browse", with these names in its state."""
        super().__init__(call=call, names=list(names))
        self.observe(lambda change: restore(change["new"]), "address")


def problems(lost: Iterable[str]) -> str:
    """What of a link is not there any more, in HTML; empty where all of it is."""
    lines = list(lost)
    if not lines:
        return ""
    return markup(
        '<p class="sercore-problem" role="alert">The link names what is not here: {}. The rest of it is shown.</p>',
        "; ".join(lines),
    )
