"""What stands where a table, figure or browser has nothing to show: a sentence that says what the study lacks.

A study of one's own may have one corpus, one model, no ratings or no genders. What is then without content is no error:
an analysis notebook goes on, and shows the sentence in its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import pandas as pd

from sercore.analysis.results import Results
from sercore.study.config import Study

P = ParamSpec("P")
T = TypeVar("T")


class NothingToShow(ValueError):  # noqa: N818 -- it is none: the study has nothing more
    """The study, as complete as it is meant to be, lacks what a table, figure or browser is about."""


@dataclass(frozen=True)
class Nothing:
    """Stands for a table, figure or browser; `why` is what is lacking, without a full stop."""

    why: str

    @property
    def numbers(self) -> pd.DataFrame:
        """Those of a table: none."""
        return pd.DataFrame()

    def write(self, study: Study) -> list[Path]:  # noqa: ARG002 -- as tables.Table has it
        """Write no file; returns no paths."""
        return []

    def __str__(self) -> str:
        """The sentence."""
        return f"Nothing to show: {self.why}."

    def _repr_markdown_(self) -> str:
        return str(self)


def or_nothing(make: Callable[P, T]) -> Callable[P, T | Nothing]:
    """`make`, but that NothingToShow ends in a `Nothing`.

    Results of a section that the study does not have end in one too, and one that is given in place of a table is
    passed on.
    """

    @wraps(make)
    def made(*args: P.args, **kwargs: P.kwargs) -> T | Nothing:
        given = [*args, *kwargs.values()]
        before = next((value for value in given if isinstance(value, Nothing)), None)
        if before is not None:
            return before
        try:
            of_sections = [value for value in given if isinstance(value, Results)]
            if of_sections:
                present(of_sections)
            return make(*args, **kwargs)
        except NothingToShow as lacking:
            return Nothing(str(lacking))

    return made


def present(sections: Sequence[Results]) -> list[Results]:
    """Those of `sections` that the study has. Raises NothingToShow where it has none of them."""
    there = [results for results in sections if len(results.predictions)]
    if not there:
        names = " or ".join(f"'{results.section}'" for results in sections)
        raise NothingToShow(f"the study has no section {names}")
    return there
