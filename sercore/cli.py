"""The command line: `sercore speak · check · transcribe · plan · run · status`. The only module that prints."""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from sercore import config, files, study

EMBEDDED_CORPORA = "outputs/corpora"
TRANSCRIPTS = "outputs/transcripts"
SHOWN = ("planted_*.md", "claims_*.md", "table_?.md")  # the tables that a study ends with; the others are longer


def main(arguments: list[str] | None = None) -> int:
    """Parse `arguments` (default: the process's), do what they ask for, and return the exit status.

    A mistake in what was asked (a wrong path, an unknown name, a broken file) is told in words, with status 2.
    """
    asked = _parser().parse_args(arguments)
    try:
        return asked.do(asked)
    except (ValueError, OSError, ImportError) as error:
        print(f"sercore {asked.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"\nsercore {asked.command}: interrupted; what is complete is kept, the same command goes on",
            file=sys.stderr,
        )
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sercore", description="A study of where language should enter a network that listens."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    speak = commands.add_parser("speak", help="make the embedded corpora: synthesised speech in the two native layouts")
    speak.add_argument("name", nargs="?", choices=("iemocap", "msp-podcast"), help="one of them (default: both)")
    speak.add_argument("--folder", default=EMBEDDED_CORPORA, help=f"where they go (default: {EMBEDDED_CORPORA})")
    speak.add_argument("--seed", type=int, default=0)
    speak.add_argument("--sentences", help="a CSV of rated sentences to speak instead of the project's own")
    speak.set_defaults(do=_speak)

    check = commands.add_parser("check", help="read a corpus and print what was found, defects included")
    check.add_argument("name", help="iemocap, msp-podcast or table")
    check.add_argument("root", help="the release's folder")
    check.add_argument("--transcripts", help="a CSV of transcripts (utterance, transcript) for a release that has none")
    check.set_defaults(do=_check)

    transcribe = commands.add_parser("transcribe", help="recognise the speech of a corpus that has no transcripts")
    transcribe.add_argument("name", help="msp-podcast or table")
    transcribe.add_argument("root", help="the release's folder")
    transcribe.set_defaults(do=_transcribe)

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
    return parser


def _speak(asked: argparse.Namespace) -> int:
    from sercore.corpora import spoken

    for name in [asked.name] if asked.name else ["iemocap", "msp-podcast"]:
        root = files.resolve(asked.folder) / name
        start = time.monotonic()
        made = spoken.speak(name, root, seed=asked.seed, sentences=asked.sentences, progress=_progress(name))
        print(f"{name}: {'spoken in ' + _seconds(start) if made else 'already spoken'}: {root}")
        if name == "msp-podcast":  # IEMOCAP comes with transcripts
            _hear(name, root)
    return 0


def _transcribe(asked: argparse.Namespace) -> int:
    _hear(asked.name, asked.root)
    return 0


def _hear(name: str, root: str | Path) -> None:
    """Transcribe a corpus into the file that its parameters files name."""
    from sercore import corpora, transcripts

    start = time.monotonic()
    folder = files.resolve(TRANSCRIPTS)
    heard = transcripts.transcribe(corpora.read(name, root), folder, progress=_progress("transcripts"))
    path = folder / f"{name}.csv"
    files.write_bytes(path, heard.read_bytes())
    print(f"{name}: transcripts by speech recognition, {_seconds(start)}: {path}")


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


def _check(asked: argparse.Namespace) -> int:
    from sercore import corpora
    from sercore.corpora.report import describe

    options = {"transcripts": asked.transcripts} if asked.transcripts else {}
    print(describe(corpora.read(asked.name, asked.root, **options)))
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
        print(f"\nnothing to do: every run and analysis of study {plan.name} is complete ({_seconds(start)})")
    else:
        print(f"\nstudy {plan.name}: {outcomes['complete']} runs executed, {outcomes['skipped']} skipped, "
              f"{outcomes['failed']} failed; {analysed['complete']} analyses executed, {_seconds(start)}")  # fmt: skip
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


def _progress(what: str):
    """A callable that draws a bar for (done, total, stage) in a terminal, and nothing elsewhere."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def draw(done: int, total: int, stage: str = "") -> None:
        key = stage or what
        if key not in bars:
            bars[key] = tqdm(total=total, desc=key, leave=False, disable=None)
        bars[key].update(done - bars[key].n)
        if done >= total:
            bars[key].close()

    return draw


def _seconds(start: float) -> str:
    return f"{time.monotonic() - start:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
