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
class Where:
    """The part of the file on where language should enter."""

    date: datetime.date
    known: str  # of the results, at that date
    margins: Mapping[str, float]  # metric -> as those of the claims
    cost: Mapping[str, float]  # metric -> what text dropout may cost where words tell
    hypotheses: Mapping[str, str]  # name -> what it says


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
    where: Where

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
    _check_keys(path, content, Preregistration)
    _check(path, content)
    return Preregistration(
        **{
            **content,
            "margins": MappingProxyType({name: float(margin) for name, margin in content["margins"].items()}),
            "pairs": tuple((model, against) for model, against in content["pairs"]),
            "where": Where(**content["where"]),
        }
    )


def _check_keys(path: Path, content: Mapping[str, Any], kind: type) -> None:
    """Raises ValueError where `content` has other keys than the fields of `kind`."""
    known = {field.name for field in fields(kind)}
    for key in content:
        if key not in known:
            raise ValueError(f"{path}: unknown key '{key}'{did_you_mean(str(key), sorted(known))}")
    absent = sorted(known - set(content))
    if absent:
        raise ValueError(f"{path}: key '{absent[0]}' is missing")


def _check(path: Path, content: Mapping[str, Any]) -> None:
    """Raises ValueError, naming the key and what is expected, where a value does not fit."""
    margins, pairs, where = content["margins"], content["pairs"], content["where"]
    if isinstance(where, Mapping):
        _check_keys(path, where, Where)
    expected = {
        "date": ("a day, as 2026-11-27", isinstance(content["date"], datetime.date)),
        "alpha": ("a number between 0 and 1", _number(content["alpha"]) and 0 < content["alpha"] < 1),
        "correction": (f"one of {', '.join(CORRECTIONS)}", content["correction"] in CORRECTIONS),
        "power": ("a number between 0 and 1", _number(content["power"]) and 0 < content["power"] < 1),
        "seeds": ("a whole number of at least 2", isinstance(content["seeds"], int) and content["seeds"] >= 2),
        "margins": (
            "measures, each with a number above 0",
            _margins(margins),
        ),
        "pairs": (
            f"pairs of two of the models {', '.join(MODELS)}",
            isinstance(pairs, list)
            and all(isinstance(p, list) and len(p) == 2 and set(p) <= set(MODELS) for p in pairs),
        ),
        "others": (f"one of the models {', '.join(MODELS)}", content["others"] in MODELS),
        "where": (
            "a date, what was known, hypotheses, and margins and cost as margins above",
            isinstance(where, Mapping)
            and isinstance(where["date"], datetime.date)
            and isinstance(where["known"], str)
            and _margins(where["margins"])
            and _margins(where["cost"])
            and isinstance(where["hypotheses"], Mapping),
        ),
    }
    for key, (what, fits) in expected.items():
        if not fits:
            raise ValueError(f"{path}: {key} is {content[key]!r}; expected {what}")


def _margins(value: object) -> bool:
    return isinstance(value, Mapping) and all(_number(margin) and margin > 0 for margin in value.values())


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
