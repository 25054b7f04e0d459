"""What a parameters file asks for, and what it would cost on 1, 8 or 64 GPUs: `sercore plan`."""

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from sercore import files
from sercore.settings import TEXT_MODEL, NetworkSettings, TextSettings
from sercore.study import config, costs, progress, scheduler
from sercore.study.plan import dependencies

ASSUMED_RATE = 1_900.0  # utterances/s of training on a GPU
PEAK = 800e12  # FLOP/s of an H100 in a bfloat16 matrix product, measured
GPU_HOURS, CPU_HOURS = "GPU-hours", "hours of that processor"
SIMULATED_SECONDS = 20.0  # what a simulation takes


def add(commands: argparse._SubParsersAction) -> None:
    """Register the command of this module."""
    plan = commands.add_parser(
        "plan",
        help="how many runs and trainings a parameters file stands for, and how long it takes on how many GPUs",
        description="Counts runs and trainings, and estimates hours from a training speed. With --workers the schedule "
        "on so many GPUs is computed, and simulated with the batch's own machinery and runs that sleep.",
    )
    plan.add_argument("parameters", help="the study's parameters file")
    plan.add_argument(
        "--workers", type=int, nargs="+", default=[], metavar="N", help="GPUs, each with one run at a time"
    )
    speed = plan.add_mutually_exclusive_group()
    speed.add_argument(
        "--utterances-per-second",
        type=float,
        metavar="RATE",
        help=f"of training, assumed (default: {ASSUMED_RATE:,.0f})",
    )
    speed.add_argument("--throughput", metavar="FILE", help="measured in its place: the JSON that `make bench` writes")
    plan.set_defaults(do=_plan)


def _plan(asked: argparse.Namespace) -> int:
    plan = progress.with_defaults(config.load(asked.parameters))
    rates, origin, unit = _measured(asked.throughput, plan) if asked.throughput else _assumed(asked, plan)
    seconds = costs.planned(plan, rates)
    corpora, folds = costs.extents(plan), costs.fold_counts(plan)
    runs, trainings, spent = Counter[str](), Counter[str](), defaultdict[str, float](float)
    for run in plan.runs:
        work = costs.work(run, corpora, folds)
        runs[run.section] += 1
        trainings[run.section] += work.trainings if work else 0
        spent[run.section] += seconds[run.key]
    for section in runs:
        print(f"{section}: {runs[section]} runs, {trainings[section]} trainings, {spent[section] / 3600:,.1f} {unit}")
    total = sum(seconds.values())
    print(f"study {plan.name}: {runs.total()} runs, {trainings.total()} trainings, {total / 3600:,.1f} {unit}")
    print("\n".join(["", *origin, *_sizes(plan, corpora)]))
    if asked.workers:
        _schedules(plan, seconds, asked.workers)
    return 0


def _assumed(asked: argparse.Namespace, plan: config.Study) -> tuple[dict[str, float], list[str], str]:
    """The same speed for every model, what it stands for, and the name of an hour."""
    rate = asked.utterances_per_second or ASSUMED_RATE
    if not rate > 0:
        raise ValueError(f"--utterances-per-second is {rate}; expected a rate above 0")
    corpora, folds = costs.extents(plan), costs.fold_counts(plan)
    flop = max(work.flop for run in plan.runs if (work := costs.work(run, corpora, folds)))
    return (
        {"": rate},
        [
            f"assumed: {rate:,.0f} utterances/s of training, for every model; none was measured. For the largest "
            f"it is {100 * rate * flop / PEAK:.0f} % of an H100's bfloat16 matrix",
            f"product ({PEAK / 1e12:.0f} TFLOP/s, measured; {flop / 1e9:.1f} GFLOP a training step and utterance). "
            "Measure: make bench; then --throughput outputs/bench/throughput.json",
        ],
        GPU_HOURS,
    )


def _measured(path: str, plan: config.Study) -> tuple[dict[str, float], list[str], str]:
    """Speeds of the models by `make bench`, told, and the name of an hour.

    A speed at another width, or of another text encoder, is scaled by the arithmetic.
    """
    where = files.resolve(path)
    try:
        found = files.read_json(where)
        rates = {model: float(row["ours"]) for model, row in found["utterances_per_second"].items()}
        width, device = int(found["width"]), found["device"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{where}: expected what `make bench` writes: {type(error).__name__}: {error}") from None
    wanted = {int((run.parameters.get("network") or {}).get("width", NetworkSettings.width)) for run in plan.runs}
    told = [f"measured on {device}: {', '.join(f'{model} {rate:,.0f}' for model, rate in rates.items())} utterances/s"]
    if wanted != {width}:
        rates = {
            model: rate * (1 if model == TEXT_MODEL else (width / max(wanted)) ** 2) for model, rate in rates.items()
        }
        told.append(
            f"assumed: measured at width {width}, the study has {max(wanted)}: divided by the arithmetic, "
            f"{(max(wanted) / width) ** 2:g}, which says little where the widths differ much"
        )
    measured, asked = found.get("encoder"), _encoder(plan)
    if TEXT_MODEL in rates and measured in costs.ENCODER_FLOP and measured != asked:
        more = costs.encoder_flop(asked) / costs.encoder_flop(measured)
        rates[TEXT_MODEL] /= more
        told.append(f"assumed: the text model measured with {measured}, the study has {asked}: divided by {more:.1f}")
    return {**rates, "": min(rates.values())}, told, CPU_HOURS if device.startswith("cpu") else GPU_HOURS


def _encoder(plan: config.Study) -> str:
    """The text encoder of the study's text models."""
    texts = [run.parameters.get("text") or {} for run in plan.runs if run.parameters.get("model") == TEXT_MODEL]
    return next((str(text["encoder"]) for text in texts if "encoder" in text), TextSettings.encoder)


def _sizes(plan: config.Study, corpora: Mapping[str, costs.Extent]) -> list[str]:
    lines = []
    for name, extent in corpora.items():
        here = any(Path(plan.corpora[name]["root"]).rglob("*.wav"))
        lines.append(
            f"{name}: {extent.utterances:,} utterances of {extent.seconds:.1f} s, "
            + ("as they lie on this disk" if here else "assumed: the published release")
        )
    return lines


def _schedules(plan: config.Study, seconds: Mapping[costs.Key, float], workers: list[int]) -> None:
    number = {run.key: task for task, run in enumerate(plan.runs)}
    lengths = [seconds[run.key] for run in plan.runs]
    edges = {
        number[run.key]: [number[other.key] for other in dependencies(plan, run)] for run in plan.runs if run.needs
    }
    print(f"\nlongest run {_hours(max(lengths))}; {len(edges)} runs wait for others")
    print(f"{'':>8}  {'computed':^17}  {'simulated on Dask':^17}")
    print(f"{'GPUs':>8}  {'wall':>9} {'idle':>7}  {'wall':>9} {'idle':>7}")
    for count in workers:
        exact = scheduler.computed(lengths, edges, count)
        print(f"{count:>8}  {_hours(exact.wall):>9} {exact.idle:>7.1%}", end="", flush=True)
        slept = scheduler.simulate(lengths, edges, count, SIMULATED_SECONDS / exact.wall)
        print(f"  {_hours(slept.wall):>9} {slept.idle:>7.1%}", flush=True)
    print(
        f"simulated: all of it in {SIMULATED_SECONDS:.0f} s, by runs that sleep. What it takes longer than computed is "
        "the batch's own time\nand what else this machine does, enlarged as much."
    )


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:,.2f} h"
