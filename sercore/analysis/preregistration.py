"""By what the study is judged, from the dated file parameters/preregistration.yaml: the one place of these numbers."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sercore import files
from sercore.analysis import statistics
from sercore.registry import MODELS
from sercore.schema import did_you_mean

FILE = "parameters/preregistration.yaml"
CORRECTIONS = {"holm": statistics.holm}


@dataclass(frozen=True, kw_only=True)
class Preregistration:
    """The content of the file."""

    date: datetime.date  # of its last change
    alpha: float  # level of every verdict
    correction: str  # over the comparisons of a claim: a name of CORRECTIONS
    power: float  # for which the smallest differences and the numbers of seeds are computed
    seeds: int  # planned, per model and corpus
    margins: Mapping[str, float]  # measure -> difference of two means below which they count as level
    pairs: tuple[tuple[str, str], ...]  # (model, against)
    others: str  # what every model that is in no pair is compared with

    def margin(self, measure: str) -> float:
        """The margin of `measure`. Raises ValueError where the file has none."""
        if measure not in self.margins:
            raise ValueError(
                f"{FILE} has no margin of '{measure}': add a line under margins, and a new date"
                f"{did_you_mean(measure, self.margins)}"
            )
        return self.margins[measure]

    def compared_pairs(self) -> tuple[tuple[str, str], ...]:
        """(model, against): those of the file, and every other model of the registry against `others`."""
        named = {name for pair in self.pairs for name in pair}
        return self.pairs + tuple((name, self.others) for name in MODELS if name not in named)


def read() -> Preregistration:
    """The content of the project's file, which `FILE` names.

    Raises:
        FileNotFoundError: the working directory is not within the project.
        ValueError: a key is missing or unknown, or a value is of another type or out of range.
    """
    return _read(files.resolve(FILE))


@cache
def _read(path: Path) -> Preregistration:
    content = files.read_yaml(path)
    known = {field.name for field in fields(Preregistration)}
    for key in content:
        if key not in known:
            raise ValueError(f"{path}: unknown key '{key}'{did_you_mean(str(key), sorted(known))}")
    absent = sorted(known - set(content))
    if absent:
        raise ValueError(f"{path}: key '{absent[0]}' is missing")
    _check(path, content)
    return Preregistration(
        **{
            **content,
            "margins": MappingProxyType({name: float(margin) for name, margin in content["margins"].items()}),
            "pairs": tuple((model, against) for model, against in content["pairs"]),
        }
    )


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the key and what is expected, where a value does not fit."""
    margins, pairs = content["margins"], content["pairs"]
    expected = {
        "date": ("a day, as 2026-11-27", isinstance(content["date"], datetime.date)),
        "alpha": ("a number between 0 and 1", _number(content["alpha"]) and 0 < content["alpha"] < 1),
        "correction": (f"one of {', '.join(CORRECTIONS)}", content["correction"] in CORRECTIONS),
        "power": ("a number between 0 and 1", _number(content["power"]) and 0 < content["power"] < 1),
        "seeds": ("a whole number of at least 2", isinstance(content["seeds"], int) and content["seeds"] >= 2),
        "margins": (
            "measures, each with a number above 0",
            isinstance(margins, Mapping) and all(_number(margin) and margin > 0 for margin in margins.values()),
        ),
        "pairs": (
            f"pairs of two of the models {', '.join(MODELS)}",
            isinstance(pairs, list)
            and all(isinstance(p, list) and len(p) == 2 and set(p) <= set(MODELS) for p in pairs),
        ),
        "others": (f"one of the models {', '.join(MODELS)}", content["others"] in MODELS),
    }
    for key, (what, fits) in expected.items():
        if not fits:
            raise ValueError(f"{path}: {key} is {content[key]!r}; expected {what}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
