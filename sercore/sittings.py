"""How a run came about, in its provenance.json: what it was made from, and each sitting, which is an execution of it.

| key | what it holds |
|---|---|
| `commit`, `dirty`, `source` | the checkout, whether files differed from it, a digest of the package's code |
| `python`, `platform`, `versions` | the software |
| `parameters`, `settings` | what was asked for, and all settings that follow from it with the defaults |
| `not_confirmed_by_the_paper` | those that hold a value of the paper that its text does not confirm |
| `corpora` | of each: size, scale, `fingerprint` (see corpora.Corpus), keys of its cached features |
| `sittings` | of each: when it started, commit, device, processor, threads, `seconds` |
| `folds` | of each: `device`, `seconds`, and `sittings`: `from` which epoch on which device with how many threads |
| `seconds` | the sum of the seconds of all sittings and folds |

All `seconds` are by stage. `loading`: corpora and features for a sitting, the datasets and the model for a fold.
`training`: the epochs, each with its score on the development set. `evaluation`: the predictions of the best model.
`saving`: the states that an interrupted training goes on from. What a killed sitting had not yet kept is in none.
A run that is not complete has no `folds` and no `seconds` yet; its sittings are there from when its data are loaded.
"""

import contextlib
import platform
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from sercore import files, training

KEPT = ("started", "commit", "source", "device", "processor", "threads", "seconds")


def begin(folder: Path, origin: Mapping[str, Any], loading: float) -> None:
    """Record in the provenance of the run in `folder` what it is made from, and a sitting that loaded for some seconds.

    Earlier sittings of the same parameters stay. Of a run that is complete nothing is written.
    """
    if (folder / files.PREDICTIONS).exists():
        return
    earlier = _recorded(folder)
    device = training.pick_device()
    content = files.provenance(**origin)
    here = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "device": str(device),
            "processor": _processor(device), "threads": torch.get_num_threads(),
            "seconds": {"loading": loading}, **content}  # fmt: skip
    before = earlier.get("sittings", []) if earlier.get("parameters") == origin["parameters"] else []
    files.write_json(folder / files.PROVENANCE, {**content, "sittings": [*before, {key: here[key] for key in KEPT}]})


def end(folder: Path, origin: Mapping[str, Any], folds: Mapping[str, Mapping[str, Any]]) -> None:
    """Complete the provenance of the run in `folder`: its folds, and the seconds of all folds and sittings in all."""
    recorded = _recorded(folder) or {**files.provenance(), "sittings": []}
    total: Counter[str] = Counter()
    for part in (*recorded.get("sittings", []), *folds.values()):
        total.update(part["seconds"])
    files.write_json(folder / files.PROVENANCE, {**recorded, **origin, "seconds": dict(total), "folds": dict(folds)})


def _recorded(folder: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):  # there is none, or it is none
        return files.read_json(folder / files.PROVENANCE)
    return {}


def _processor(device: torch.device) -> str:
    """What computed: two of a kind give the same digits."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
