"""Any other corpus, described by a table of its utterances: a CSV or Parquet file beside the audio."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora import labels
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale
from sercore.corpora.headers import read_headers, unusual
from sercore.corpora.msp_podcast import read_transcripts

NAMES = ("utterances.csv", "utterances.parquet")
CLOSE = 0.1  # how far a given duration may lie from the audio's own before it is reported [s]
EXPECTED = "a .csv or .parquet file of utterances, or the folder that holds utterances.csv or utterances.parquet"
MAY_BE_BLANK = ("gender", "style", "partition", "emotion", *schema.DIMENSIONS, "seconds")


def read(
    root: str | Path,
    *,
    scale: Sequence[float] = (1.0, 5.0),
    columns: Mapping[str, str | None] | None = None,
    emotions: Mapping[str, str | None] | None = None,
    transcripts: str | Path | None = None,
    name: str = "table",
) -> Corpus:
    """The corpus described by the table `root`, or by utterances.csv or utterances.parquet in the folder `root`.

    The table has the columns of schema.UTTERANCE_COLUMNS, of which `utterance` and `file` are needed; `file` is
    relative to the table's folder, which is the corpus's root. An empty cell of a CSV is missing. Durations that the
    table lacks are those of the audio. A table without `speaker` is read, but no split of it can keep voices apart.

    `scale` is the lowest and highest rating. `columns` renames the table's own columns (path -> file); one renamed to
    None is left out. `emotions` says what the table's labels are called here (W -> angry, boredom -> None: missing).
    Utterances without a transcript take it from the CSV `transcripts` (utterance, transcript). `name` is what the
    corpus is called.

    Raises ValueError for an unknown or absent column, an unknown name in a column, an absolute path, audio that is
    absent or cannot be read, a rating outside `scale`; FileNotFoundError where there is no table.
    """
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise ValueError(f"scale is {scale}; expected the lowest and the highest rating, as (1, 5)")
    path = _find(locate(root, EXPECTED))
    cells = _renamed(_load(path), columns or {}, path)
    _check_columns(cells, path)
    findings = []
    if "speaker" not in cells:
        meaning = "every speaker counts as unknown; a split cannot keep voices apart"
        findings.append(Finding.of("no column 'speaker'", cells["utterance"], meaning))
        cells["speaker"] = np.nan
    cells, finding = labels.blank(cells, MAY_BE_BLANK)
    findings.append(finding)
    if emotions and schema.EMOTION in cells:
        cells[schema.EMOTION] = labels.translate(cells[schema.EMOTION], schema.EMOTION, emotions)
    table = schema.check_utterances(cells, str(path))
    _check_content(table, path, (float(scale[0]), float(scale[1])))
    folder = path.parent
    headers = read_headers(folder, list(table["file"]))
    differs = (table["seconds"] - headers["seconds"]).abs() > CLOSE
    nameless = table["speaker"].isna()
    findings += [
        Finding.of("duration that is not the audio's", table["utterance"][differs], "the table's was kept"),
        unusual(list(table["file"]), headers),
        Finding.of(
            "same file in several rows", table["utterance"][table["file"].duplicated()], "kept; heard more than once"
        ),
    ]
    if not nameless.all():
        findings.append(Finding.of("missing speaker", table["utterance"][nameless], "kept; belongs to no speaker"))
    table["seconds"] = table["seconds"].fillna(headers["seconds"])
    if transcripts is not None:
        table["transcript"] = table["transcript"].fillna(table["utterance"].map(read_transcripts(transcripts)))
    return assemble(name, folder, (float(scale[0]), float(scale[1])), table, findings)


def _find(given: Path) -> Path:
    if given.is_file():
        return given
    found = [given / name for name in NAMES if (given / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"no table in {given}; expected {EXPECTED}\n  it holds {contents(given)}\n"
            "  `sercore table` makes one from the names of audio files"
        )
    if len(found) > 1:
        raise ValueError(f"{given} holds both {' and '.join(NAMES)}; give the one to read")
    return found[0]


def _load(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix != ".csv":
        raise ValueError(f"{path}: expected {EXPECTED}, found a '{path.suffix}' file")
    try:
        cells = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    return cells.replace("", np.nan)


def _renamed(cells: pd.DataFrame, columns: Mapping[str, str | None], path: Path) -> pd.DataFrame:
    """`cells` with the columns' own names; raises ValueError where one is not there, or two get the same name."""
    for column in columns:
        if column not in cells:
            raise ValueError(f"{path}: no column '{column}' to rename{schema.did_you_mean(column, cells.columns)}")
    cells = cells.drop(columns=[column for column, name in columns.items() if name is None])
    cells = cells.rename(columns={column: name for column, name in columns.items() if name is not None})
    twice = cells.columns[cells.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{path}: two columns are called '{twice[0]}'; rename one of them, or leave it out")
    return cells


def _check_columns(cells: pd.DataFrame, path: Path) -> None:
    """Raise ValueError that names every column that is unknown and every one that is needed and absent."""
    unknown = [column for column in cells.columns if column not in schema.UTTERANCE_COLUMNS]
    absent = [column for column in ("utterance", "file") if column not in cells.columns]
    told = [f"unknown column '{name}'{schema.did_you_mean(str(name), schema.UTTERANCE_COLUMNS)}" for name in unknown]
    if absent:
        told.append(f"no column {', '.join(absent)}; an utterance table needs utterance and file")
    if told:
        if unknown:
            told.append(
                f"the reader's option `columns` renames a column, as {{{unknown[0]}: transcript}}, "
                f"or leaves it out, as {{{unknown[0]}: null}}"
            )
        raise ValueError(f"{path}: " + "\n  ".join(told))


def _check_content(table: pd.DataFrame, path: Path, scale: tuple[float, float]) -> None:
    """Raise ValueError that names every kind of row that cannot be used: its audio is not there, or its ratings."""
    absolute = [file for file in table["file"] if Path(file).is_absolute()]
    absent = [f for f in table["file"] if not Path(f).is_absolute() and not (path.parent / f).is_file()]
    outside = out_of_scale(table, scale)
    told = []
    if absolute:
        told.append(f"{len(absolute)} absolute paths, {schema.first(absolute)}; write them relative to {path.parent}")
    if absent:
        told.append(
            f"{len(absent)} of {len(table)} audio files are not there, {schema.first(absent)}; "
            f"expected them below {path.parent}; correct the column 'file' or drop the rows"
        )
    if outside:
        told.append(
            f"{len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the corpus's own scale, as scale=(1, 7) (in a parameters file `scale: [1, 7]`)"
        )
    if told:
        raise ValueError(f"{path}: " + "\n  ".join(told))
