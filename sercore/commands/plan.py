"""How many runs a parameters file stands for, and how long they take on 1, 8 or 64 GPUs: `sercore plan`."""

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sercore import files
from sercore.commands import MOST_WORKERS, number
from sercore.commands import path as given
from sercore.registry import MODELS
from sercore.settings import NetworkSettings, TextSettings
from sercore.study import check, config, costs, progress, scheduler
from sercore.study.plan import dependencies

GPU_HOURS, CPU_HOURS = "GPU-hours", "hours of that processor"
MEASURE = "measure them: make bench-gpu; then --throughput outputs/bench/gpu/throughput.json"
SIZES = {
    "log_mel": ("network", "width", NetworkSettings.width),
    "tokens": ("text", "encoder", TextSettings.encoder),
}
"""Features of a model -> the setting that its speed depends on and `make bench` records: kind, name, default."""


class Speeds(NamedTuple):
    """How fast the models train."""

    rates: dict[str, float]  # model -> utterances/s
    origins: dict[str, str]  # model -> "measured", or "assumed" and why
    unit: str  # of the hours
    note: str  # to print


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    plan = commands.add_parser(
        "plan",
        help="how many runs and trainings a parameters file stands for, and how long they take on how many GPUs",
        description="Counts runs and trainings, and estimates hours from the speed of training. With --workers the "
        "schedule on that many GPUs is computed.",
    )
    plan.add_argument("parameters", type=given, help="the study's parameters file")
    plan.add_argument(
        "--workers",
        type=number(int, 1, MOST_WORKERS),
        nargs="+",
        default=[],
        metavar="N",
        help="GPUs, each with one run at a time",
    )
    speed = plan.add_mutually_exclusive_group()
    speed.add_argument(
        "--utterances-per-second",
        type=number(float, 0, above=True),
        metavar="RATE",
        help=f"assumed speed of training, of every model (default: speeds measured on an {costs.MEASURED['device']})",
    )
    speed.add_argument(
        "--throughput",
        type=given,
        metavar="FILE",
        help="measured speeds: the JSON file that `make bench` or `make bench-gpu` writes",
    )
    plan.set_defaults(do=_plan)


def _plan(args: argparse.Namespace) -> int:
    study = config.load(args.parameters)
    check.check(study)
    study = progress.with_defaults(study)
    works = costs.works(study)
    trained = {str(run.parameters.get("model")) for run in study.runs if works[run.key]}
    models = sorted(sorted(trained), key=MODELS.position)
    if args.utterances_per_second is not None:
        speeds = _assumed(args, models)
    else:
        speeds = _measured(args.throughput, study, models)
    seconds = costs.planned(study, speeds.rates)
    runs, trainings, spent = Counter[str](), Counter[str](), defaultdict[str, float](float)
    for run in study.runs:
        work = works[run.key]
        times = work.trainings if work else 0
        for group in (run.section, f"study {study.name}", *([f"model {run.parameters.get('model')}"] if work else [])):
            runs[group] += 1
            trainings[group] += times
            spent[group] += seconds[run.key] / 3600
    for group in (*dict.fromkeys(run.section for run in study.runs), f"study {study.name}"):
        print(f"{group}: {runs[group]} runs, {trainings[group]} trainings, {spent[group]:,.1f} {speeds.unit}")
    print()
    for model in models:
        group = f"model {model}"
        rate = f"{speeds.rates[model]:,.0f} utterances/s, {speeds.origins[model]}"
        print(f"{model}: {trainings[group]} trainings, {spent[group]:,.1f} {speeds.unit} at {rate}")
    print("\n".join(["", speeds.note, *_sizes(study)]))
    if args.workers:
        _print_schedules(study, seconds, args.workers)
    return 0


def _assumed(args: argparse.Namespace, models: list[str]) -> Speeds:
    """The same speed for every model."""
    rate = args.utterances_per_second
    note = f"assumed: {rate:,.0f} utterances/s of training, for every model; {MEASURE}"
    return Speeds(dict.fromkeys(models, rate), dict.fromkeys(models, "assumed"), GPU_HOURS, note)


def _measured(path: Path | None, study: config.Study, models: list[str]) -> Speeds:
    """The speeds in the file `path` (None: those on record); a model that has none is as slow as the slowest alike."""
    where = path or "the record"
    try:
        bench = costs.MEASURED if path is None else files.read_json(path)
        measured = {model: float(row["ours"]) for model, row in bench["utterances_per_second"].items()}
        device = str(bench["device"])
        if not measured:
            raise ValueError("no model")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected what `make bench` writes: {type(error).__name__}: {error}") from None
    rates = ", ".join(f"{model} {rate:,.0f}" for model, rate in measured.items())
    return Speeds(
        rates={model: measured.get(model) or _slowest_alike(model, measured) for model in models},
        origins={model: _origin(model, study, bench) for model in models},
        unit=CPU_HOURS if device.startswith("cpu") else GPU_HOURS,
        note=f"measured on {device}: {rates} utterances/s" + ("" if path else f"; {MEASURE.replace('them', 'yours')}"),
    )


def _slowest_alike(model: str, measured: Mapping[str, float]) -> float:
    """The lowest of the speeds `measured`, of models of the same features if there are any."""
    features = {name: spec.features for name in (model, *measured) if (spec := MODELS.get(name))}
    alike = [rate for name, rate in measured.items() if features.get(name) == features.get(model)]
    return min(alike or measured.values())


def _origin(model: str, study: config.Study, bench: Mapping[str, Any]) -> str:
    """Whether `bench` measured the speed of `model`, and with the settings that the study has."""
    if model not in bench["utterances_per_second"]:
        return "assumed: as slow as the slowest measured model of its kind"
    spec = MODELS.get(model)
    kind, name, default = SIZES.get((spec and spec.features) or "", ("", "", None))
    values = {
        (run.parameters.get(kind) or {}).get(name, default)
        for run in study.runs
        if run.parameters.get("model") == model
    }
    if name in bench and values != {bench[name]}:
        return f"assumed: measured with {name} {bench[name]}, the study has {', '.join(sorted(map(str, values)))}"
    return "measured"


def _sizes(study: config.Study) -> list[str]:
    lines = []
    for name, extent in costs.extents(study).items():
        here = any(Path(study.corpora[name]["root"]).rglob("*.wav"))
        origin = "as they lie on this disk" if here else "assumed: the published release"
        lines.append(f"{name}: {extent.utterances:,} utterances of {extent.seconds:.1f} s, {origin}")
    return lines


def _print_schedules(study: config.Study, seconds: Mapping[costs.Key, float], workers: list[int]) -> None:
    number = {run.key: task for task, run in enumerate(study.runs)}
    lengths = [seconds[run.key] for run in study.runs]
    edges = {
        number[run.key]: [number[other.key] for other in dependencies(study, run)] for run in study.runs if run.needs
    }
    print(f"\nlongest run {_hours(max(lengths))}; {len(edges)} runs wait for others")
    print(f"{'GPUs':>8}  {'wall':>9} {'idle':>7}")
    for count in workers:
        schedule = scheduler.computed(lengths, edges, count)
        print(f"{count:>8}  {_hours(schedule.wall):>9} {schedule.idle:>7.1%}")


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h"
