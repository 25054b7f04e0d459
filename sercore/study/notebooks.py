"""The parameters that a notebook declares in its cell of parameters."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

import papermill

from sercore import files
from sercore.schema import first

PLACES = ("study", "corpora", "folder", "cache")  # parameters that are paths: they do not make a run another one


def literal(path: Path) -> str:
    """`path` for papermill, which takes braces in a path for the names of parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def defaults(notebook: Path) -> dict[str, Any]:
    """The parameters that `notebook` declares, with the values that it gives them.

    Raises FileNotFoundError for a notebook that is not there and ValueError for a parameter that is no literal.
    """
    if not notebook.exists():
        near = first(sorted(other.name for other in notebook.parent.glob("*.ipynb")))
        there = f"that folder has {near}" if near else f"no notebook there; {files.NEW_PROJECT}"
        raise FileNotFoundError(f"no notebook {notebook}; {there}")
    return dict(_declared((notebook, notebook.stat().st_mtime_ns)))


@cache
def _declared(version: tuple[Path, int]) -> dict[str, Any]:
    """The parameters of a notebook as it was at a time [ns]; one that has changed since is read again."""
    notebook, _ = version
    values = {}
    for name, parameter in papermill.inspect_notebook(literal(notebook)).items():
        try:
            values[name] = ast.literal_eval(parameter["default"])
        except (ValueError, SyntaxError):
            default = parameter["default"]
            raise ValueError(f"{notebook}: parameter {name} = {default} is no literal") from None
    return values
