"""A trained model on new recordings, its stages told something else; exported: `sercore predict · stages · export`."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from sercore import files, settings
from sercore.analysis import confidence
from sercore.commands import DAY, number, path_or_name, progress, refuse_overwriting, seconds
from sercore.commands import path as given
from sercore.registry import MODELS
from sercore.schema import EMOTION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sercore.inference.artifact import Trained

SHOWN = 40  # rows that are printed
SIMULATED = "This model was trained on SIMULATED SPEECH alone: what it predicts for people means nothing"


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    predict = commands.add_parser("predict", help="predict recordings by a trained model")
    _add_recordings(predict, "+", "audio files, folders of such, tables with a column `file`")
    parts = predict.add_mutually_exclusive_group()
    length = number(float, 0, DAY, above=True)
    parts.add_argument("--windows", type=length, metavar="SECONDS", help="one answer a window, overlapping by half")
    parts.add_argument(
        "--segments",
        type=length,
        metavar="SECONDS",
        help="one answer a segment of speech, at most so long (10 suits most models), in recordings of any length; "
        "speech is found first, and cut at pauses; speakers of a dialog are not told apart",
    )
    predict.add_argument(
        "--detector",
        choices=("silero", "energy"),
        help="what finds the speech of --segments: a network, or an energy gate (default: the network, if installed)",
    )
    sure = predict.add_mutually_exclusive_group()
    sure.add_argument(
        "--reject-below",
        type=number(float, 0, 1),
        metavar="P",
        help="answer 'not sure' where the confidence, the calibrated probability of the answer, is lower: of the run's "
        "development utterances with such a confidence, about that share was answered rightly",
    )
    sure.add_argument(
        "--coverage",
        type=number(float, 0, 1, above=True),
        metavar="SHARE",
        help="the same, at the highest confidence from which on this share of the development utterances is answered",
    )
    sure.add_argument(
        "--error",
        type=number(float, 0, 1),
        metavar="SHARE",
        help="the same, at the lowest confidence from which on no more of the answers were wrong on development",
    )
    predict.add_argument("--output", type=given, metavar="TABLE", help="write the answers as .csv or .parquet")
    predict.add_argument("--plot", type=given, metavar="PICTURE", help="draw them over time, as .png, .pdf or .svg")
    predict.set_defaults(do=_predict)

    stages = commands.add_parser("stages", help="what each stage of a trained fusion model takes from the text")
    _add_recordings(stages, "*", "as `predict` takes them; none: the run's own test utterances, of --study")
    stages.add_argument("--study", metavar="FILE", help="the parameters file that made the run: where its corpora lie")
    stages.add_argument("--output", type=given, metavar="TABLE", help="write the table as .csv or .parquet")
    stages.add_argument("--plot", type=given, metavar="PICTURE", help="draw it, as .png, .pdf or .svg")
    stages.set_defaults(do=_stages)

    export = commands.add_parser("export", help="write a run's model to a folder that stands alone")
    export.add_argument("run", help="a run's folder, or one fold of it")
    export.add_argument("folder", type=given, help="the folder to write; it must not be there")
    export.add_argument("--onnx", action="store_true", help="also as ONNX, its answers checked against PyTorch's")
    export.set_defaults(do=_export)


def _add_recordings(command: argparse.ArgumentParser, count: str, what: str) -> None:
    """A model, recordings, and where their transcripts come from."""
    command.add_argument("run", help="a run's folder (the mean of its folds), one fold of it, or an exported folder")
    command.add_argument("recordings", nargs=count, help=what)
    text = command.add_mutually_exclusive_group()
    text.add_argument("--text", help="the transcript of the recordings; '' for silence")
    text.add_argument("--transcribe", action="store_true", help="recognise speech where no table has the transcript")
    command.add_argument(
        "--engine", type=path_or_name, help="what --transcribe recognises speech with (default: tiny.en)"
    )
    command.add_argument(
        "--encoder", type=path_or_name, help="where the text encoder lies, if not where it was at training"
    )
    command.add_argument(
        "--speaker", help="who talks where no table says it, for a model that is normalised over speakers"
    )


def _check_written(args: argparse.Namespace) -> None:
    """Raise ValueError where --output or --plot is a file of another kind, or one that is to be read."""
    for path, known in ((args.output, (".csv", ".parquet")), (args.plot, (".png", ".pdf", ".svg"))):
        if path is not None and path.suffix not in known:
            raise ValueError(f"{path}: expected a name that ends in {', '.join(known)}")
        refuse_overwriting(path and files.resolve(path), args.recordings)


def _predict(args: argparse.Namespace) -> int:
    if args.plot and not (args.windows or args.segments):
        raise ValueError("--plot draws answers over time: give --windows SECONDS or --segments SECONDS too")
    if args.detector and not args.segments:
        raise ValueError("--detector finds the speech of segments: give --segments SECONDS too")
    _check_written(args)
    from sercore.inference.predictor import load, load_recogniser  # torch takes seconds to import
    from sercore.inference.segments import Segmentation

    segments = None
    if args.segments:
        segments = settings.build(Segmentation, {"longest": args.segments, "detector": args.detector})
    predictor = load(args.run, encoder=args.encoder)
    threshold = predictor.threshold(args.reject_below, args.coverage, args.error)
    recogniser = load_recogniser(args.engine) if args.transcribe else None
    start = time.monotonic()
    answers = predictor(
        args.recordings,
        args.text,
        windows=args.windows,
        segments=segments,
        recogniser=recogniser,
        speakers=args.speaker,
        reject_below=threshold,
        progress=progress("recordings"),
    )
    took = time.monotonic() - start
    wrong = answers[answers["error"].notna()]
    answered = answers[answers["error"].isna()]
    _print_predictions(answered, predictor.trained)
    if threshold and len(answered):
        _print_rejected(answered, threshold, predictor.trained)
    _print_unusable(dict(zip(wrong["file"], wrong["error"], strict=True)))
    if args.output:
        files.write_table(args.output, answers)
        print(f"\n{args.output}: {len(answers)} rows")
    if args.plot:
        from sercore.analysis import figures

        draw = figures.plot_segments if args.segments else figures.plot_over_time
        figures.save_as(draw(answers), args.plot)
        print(f"{args.plot}: over time")
    _print_speed(answers, took)
    return 1 if len(wrong) else 0


def _print_unusable(errors: Mapping[str, str]) -> None:
    """Print what is wrong with each recording that could not be used."""
    for file, error in errors.items():
        print(f"{file}: {error}", file=sys.stderr)


def _stages(args: argparse.Namespace) -> int:
    if bool(args.recordings) == bool(args.study):
        raise ValueError("name either recordings, or by --study the parameters file that made the run")
    if args.study and (args.text is not None or args.transcribe or args.engine or args.encoder or args.speaker):
        raise ValueError(
            "with --study, transcripts, speakers and the encoder are those of the run: leave out their options"
        )
    _check_written(args)
    from sercore.analysis import figures, interventions
    from sercore.inference import artifact  # torch takes seconds to import

    trained = artifact.read(args.run)
    errors: dict[str, str] = {}
    if args.study:
        from sercore.inference import stages
        from sercore.study import config

        study = config.load(args.study)
        predictions = stages.of_run(args.run, study.corpora, study.outputs / "cache")
        told = f"{predictions['utterance'].nunique()} of its test utterances"
    else:
        from sercore.inference.predictor import load, load_recogniser

        recogniser = load_recogniser(args.engine) if args.transcribe else None
        predictions, errors = load(args.run, encoder=args.encoder).intervene(
            args.recordings,
            args.text,
            recogniser=recogniser,
            speakers=args.speaker,
            progress=progress("recordings"),
        )
        _print_unusable(errors)
        if predictions.empty:
            return 1
        told = f"{predictions['utterance'].nunique()} recordings"
    found = interventions.effects(predictions)
    print(interventions.table(found).to_string(float_format="{:.3f}".format, na_rep=""))
    print(f"\n{told}, each stage told something else")
    if not args.study:
        unit = "% of probability" if trained.targets == (EMOTION,) else "root mean square of ratings"
        print(f"moved: how far predictions are from those with own text, {unit}")
    if trained.simulated:
        print(SIMULATED)
    if args.output:
        files.write_table(args.output, found)
        print(f"{args.output}: {len(found)} rows")
    if args.plot:
        title = f"{MODELS.label(trained.model)} trained on {trained.corpus}, {told}"
        figures.save_as(cast("Figure", interventions.plot(found, title, trained.simulated)), args.plot)
        print(f"{args.plot}: by stage")
    return 1 if errors else 0


def _print_predictions(answers: pd.DataFrame, trained: "Trained") -> None:
    """Print the answers as a person reads them."""
    if answers.empty:
        return
    unread = "text" in answers and answers["text"].isna() & (answers["windows"] == 1)
    shown = answers.head(SHOWN).drop(columns=["error", "trained_on", "windows", "detector"], errors="ignore")
    shown = shown.assign(file=[Path(file).name for file in shown["file"]])
    if "text" in shown:
        shown["text"] = shown["text"].astype("str").str.slice(0, 40).where(shown["text"].notna(), "")
    print(shown.to_string(index=False, float_format="{:.2f}".format))
    if len(answers) > SHOWN:
        print(f"... {len(answers) - SHOWN} more rows; --output writes all of them")
    if "detector" in answers:
        length = (answers["end"] - answers["start"]).sum()
        print(f"\n{len(answers)} segments with speech, {length:.1f} s, by {answers['detector'].iloc[0]}")
    if np.any(unread):
        print("text that is not known counts as the mean one of training; --transcribe recognises it")
    scale = "" if EMOTION in answers else f"ratings from {answers['scale'].iloc[0]}; "
    print(f"\n{scale}trained on {answers['trained_on'].iloc[0]}")
    if trained.confidence is not None:
        print(f"confidence: {trained.confidence}")
    if trained.half_widths:
        print(f"{confidence.HELD:.0%} of development ratings were no farther off than {_listed(trained.half_widths)}")
    if trained.simulated:
        print(SIMULATED)


def _listed(half_widths: Mapping[str, float]) -> str:
    return ", ".join(f"{width:.2f} ({name})" for name, width in half_widths.items())


def _print_rejected(answers: pd.DataFrame, threshold: float, trained: "Trained") -> None:
    """Print how many of `answers` are below `threshold`, and what it does on development."""
    count = int((answers[EMOTION] == confidence.NOT_SURE).sum())
    line = f"{count} of {len(answers)} {confidence.NOT_SURE}: a confidence below {threshold:.3f}"
    if trained.confidence is not None and trained.confidence.curve:
        point = trained.confidence.at(threshold)
        line += (
            f"; from there on about {point.coverage:.0%} of the development utterances are answered, {point.error:.1%} "
            "of these wrongly"
            if point
            else f"; fewer than {confidence.FEWEST} development utterances reach it"
        )
    print(line)


def _print_speed(answers: pd.DataFrame, took: float) -> None:
    """Print how many recordings were predicted in `took` seconds, and how many could not be used."""
    lengths = answers[answers["error"].isna()].groupby("file")["end"].max()
    line = f"{len(lengths)} recording{'s' * (len(lengths) != 1)}, {lengths.sum():.1f} s of sound in {took:.1f} s"
    failed = answers["error"].notna().sum()
    if len(lengths):
        line += f": {len(lengths) / took:.1f} files/s, {lengths.sum() / took:.0f} x real time"
    print(line + (f"; {failed} could not be used" if failed else ""))


def _export(args: argparse.Namespace) -> int:
    from sercore.inference import export

    start = time.monotonic()
    folder = export.export(args.run, args.folder, onnx=args.onnx)
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    for line in export.parity(folder):
        print(line)
    print(f"exported in {seconds(start)}; `sercore predict {folder} file.wav` uses it")
    print(f"to share it where the terms in its card allow that: hf upload YOU/{folder.name} {folder} --private")
    return 0
