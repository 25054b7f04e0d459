"""A trained model on one's own recordings, and to be passed on: `sercore predict · export`."""

import argparse
import sys
import time
from pathlib import Path

import pandas as pd

from sercore import files
from sercore.commands import progress, seconds
from sercore.schema import EMOTION

SHOWN = 40  # rows that are printed


def add(commands: argparse._SubParsersAction) -> None:
    """Register the commands of this module."""
    predict = commands.add_parser("predict", help="what a trained model says of recordings")
    predict.add_argument("run", help="a run's folder (the mean of its folds), one fold of it, or an exported folder")
    predict.add_argument("recordings", nargs="+", help="audio files, folders of such, tables with a column `file`")
    said = predict.add_mutually_exclusive_group()
    said.add_argument("--text", help="what is said in the recordings; '' if nothing is")
    said.add_argument("--transcribe", action="store_true", help="recognise what is said where no table says it")
    predict.add_argument("--engine", help="what --transcribe recognises speech with (default: tiny.en)")
    predict.add_argument("--windows", type=float, metavar="SECONDS", help="one answer a window, overlapping by half")
    predict.add_argument("--output", type=Path, metavar="TABLE", help="write the answers as .csv or .parquet")
    predict.add_argument("--plot", type=Path, metavar="PICTURE", help="draw them over time, as .png, .pdf or .svg")
    predict.add_argument("--encoder", help="where the text encoder lies, if not where it was at training")
    predict.set_defaults(do=_predict)

    export = commands.add_parser("export", help="write a run's model to a folder that can be passed on")
    export.add_argument("run", help="a run's folder, or one fold of it")
    export.add_argument("folder", help="the folder to write; it must not be there")
    export.add_argument("--onnx", action="store_true", help="also as ONNX, its answers checked against PyTorch's")
    export.set_defaults(do=_export)


def _predict(asked: argparse.Namespace) -> int:
    if asked.plot and not asked.windows:
        raise ValueError("--plot draws answers over time: give --windows SECONDS too")
    for path, known in ((asked.output, (".csv", ".parquet")), (asked.plot, (".png", ".pdf", ".svg"))):
        if path is not None and path.suffix not in known:
            raise ValueError(f"{path}: expected a name that ends in {', '.join(known)}")
    from sercore.inference.predictor import load  # torch takes seconds to import

    predictor = load(asked.run, encoder=asked.encoder)
    recogniser = None
    if asked.transcribe:
        import torch

        from sercore.features import asr, hub

        recogniser = asr.Recogniser(asked.engine or hub.ENGINE, workers=torch.get_num_threads())
    start = time.monotonic()
    found = predictor(
        asked.recordings, asked.text, windows=asked.windows, recogniser=recogniser, progress=progress("recordings")
    )
    took = time.monotonic() - start
    wrong = found[found["error"].notna()]
    _print_predictions(found[found["error"].isna()], predictor.trained.simulated)
    for row in wrong.itertuples():
        print(f"{row.file}: {row.error}", file=sys.stderr)
    if asked.output:
        files.write_table(files.resolve(asked.output), found)
        print(f"\n{asked.output}: {len(found)} rows")
    if asked.plot:
        from sercore.analysis import figures

        figures.save_over_time(figures.plot_over_time(found), files.resolve(asked.plot))
        print(f"{asked.plot}: over time")
    _print_speed(found, took)
    return 1 if len(wrong) else 0


def _print_predictions(answers: pd.DataFrame, simulated: bool) -> None:
    """Print the answers as a person reads them."""
    if answers.empty:
        return
    shown = answers.head(SHOWN).drop(columns=["error", "trained_on", "windows"])
    shown = shown.assign(file=[Path(file).name for file in shown["file"]])
    if "text" in shown:
        shown["text"] = shown["text"].astype("str").str.slice(0, 40).where(shown["text"].notna(), "")
    print(shown.to_string(index=False, float_format="{:.2f}".format))
    if len(answers) > SHOWN:
        print(f"... {len(answers) - SHOWN} more rows; --output writes all of them")
    what = "" if EMOTION in answers else f"ratings from {answers['scale'].iloc[0]}; "
    print(f"\n{what}trained on {answers['trained_on'].iloc[0]}")
    if simulated:
        print("SIMULATED SPEECH was all that this model was trained on: what it says of people means nothing")


def _print_speed(found: pd.DataFrame, took: float) -> None:
    heard = found[found["error"].isna()].groupby("file")["end"].max()
    told = f"{len(heard)} recording{'s' * (len(heard) != 1)}, {heard.sum():.1f} s of sound in {took:.1f} s"
    failed = found["error"].notna().sum()
    if len(heard):
        told += f": {len(heard) / took:.1f} files/s, {heard.sum() / took:.0f} x real time"
    print(told + (f"; {failed} could not be used" if failed else ""))


def _export(asked: argparse.Namespace) -> int:
    from sercore.inference import export

    start = time.monotonic()
    folder = export.export(asked.run, asked.folder, onnx=asked.onnx)
    for path in sorted(folder.iterdir()):
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")
    for line in export.parity(folder):
        print(line)
    print(f"exported in {seconds(start)}; `sercore predict {folder} file.wav` uses it")
    return 0
