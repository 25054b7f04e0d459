"""A study as a batch: `sercore plan · run · status`."""

import argparse
import time
from collections import Counter

from sercore import config, study
from sercore.commands import seconds

SHOWN = ("planted_*.md", "claims_*.md", "table_?.md")  # the tables that a study ends with; the others are longer


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    plan = commands.add_parser("plan", help="how many runs and trainings a parameters file stands for")
    plan.add_argument("parameters", help="the study's parameters file")
    plan.set_defaults(do=_plan)

    run = commands.add_parser("run", help="run what a study still lacks, then its analysis notebooks")
    run.add_argument("parameters", help="the study's parameters file")
    run.add_argument("--section", action="append", default=[], help="only this section (may be given again)")
    run.add_argument("--workers", type=int, help="notebooks at a time (default: one a core)")
    run.set_defaults(do=_run)

    status = commands.add_parser("status", help="what of a study is complete, waiting or failed")
    status.add_argument("parameters", help="the study's parameters file")
    status.set_defaults(do=_status)


def _plan(asked: argparse.Namespace) -> int:
    plan = config.load(asked.parameters)
    runs, trainings = Counter[str](), Counter[str]()
    for run in plan.runs:
        values = study.asked(run)
        runs[run.section] += 1
        trainings[run.section] += 0 if run.needs else len(values["folds"]) or 10 if values["corpus"] == "iemocap" else 1
    for section in runs:
        print(f"{section}: {runs[section]} runs, {trainings[section]} trainings")
    print(f"study {plan.name}: {runs.total()} runs, {trainings.total()} trainings")
    return 0


def _run(asked: argparse.Namespace) -> int:
    start = time.monotonic()
    plan = config.load(asked.parameters)
    for name in asked.section:
        plan.section(name)  # an unknown one is an error
    outcomes = Counter[str]()
    wanted = [run for run in plan.runs if not asked.section or run.section in asked.section]
    print(f"study {plan.name}: {len(wanted)} runs, {sum(run.complete for run in wanted)} complete")
    for outcome in study.execute(plan, workers=asked.workers, sections=tuple(asked.section)):
        outcomes[outcome.state] += 1
        _tell(outcome, f"[{outcomes.total()}/{len(wanted)}]")
    analysed = Counter[str]()
    if not outcomes["failed"] and all(run.complete for run in plan.runs):
        for outcome in study.analyse(plan, workers=asked.workers):
            analysed[outcome.state] += 1
            _tell(outcome, "")
        for pattern in SHOWN:
            for table in sorted((plan.folder / "tables").glob(pattern)):
                print(f"\n{table.read_text(encoding='utf-8')}")
        for figure in sorted((plan.folder / "figures").glob("*.png")):
            print(f"figure: {figure}")
    elif plan.analysis:
        print("analysis notebooks wait until every run of the study is complete")
    if outcomes["complete"] + outcomes["failed"] + analysed["complete"] + analysed["failed"] == 0:
        print(f"\nnothing to do: every run and analysis of study {plan.name} is complete ({seconds(start)})")
    else:
        print(f"\nstudy {plan.name}: {outcomes['complete']} runs executed, {outcomes['skipped']} skipped, "
              f"{outcomes['failed']} failed; {analysed['complete']} analyses executed, {seconds(start)}")  # fmt: skip
    return 1 if outcomes["failed"] or analysed["failed"] else 0


def _status(asked: argparse.Namespace) -> int:
    plan = config.load(asked.parameters)
    failed = study.failures(plan)
    for section in dict.fromkeys(run.section for run in plan.runs):
        runs = plan.section(section)
        complete = sum(run.complete for run in runs)
        broken = sum(f"{section}/{run.name}" in failed for run in runs)
        print(
            f"{section}: {complete} complete, {len(runs) - complete - broken} waiting, {broken} failed, of {len(runs)}"
        )
    for name, cause in failed.items():
        print(f"  failed {name}: {cause}")
    return 1 if failed else 0


def _tell(outcome: study.Outcome, count: str) -> None:
    if outcome.state == "complete":
        print(f"{count} {outcome.name}: {outcome.seconds:.0f} s", flush=True)
    elif outcome.state == "failed":
        print(f"{count} {outcome.name}: FAILED after {outcome.seconds:.0f} s: {outcome.cause}", flush=True)
