"""Any other corpus, described by a table of its utterances: a CSV or Parquet file beside the audio."""

from pathlib import Path

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale
from sercore.corpora.headers import read_headers, unusual

NAMES = ("utterances.csv", "utterances.parquet")
CLOSE = 0.1  # how far a given duration may lie from the audio's own before it is reported [s]
EXPECTED = "a .csv or .parquet file of utterances, or the folder that holds utterances.csv or utterances.parquet"


def read(root: str | Path, *, scale: tuple[float, float] = (1.0, 5.0), name: str = "table") -> Corpus:
    """The corpus described by the table `root`, or by utterances.csv or utterances.parquet in the folder `root`.

    The table has the columns of schema.UTTERANCE_COLUMNS, of which `utterance`, `file` and `speaker` are needed; `file`
    is relative to the table's folder, which is the corpus's root. An empty cell of a CSV is missing. Durations that the
    table lacks are those of the audio. `scale` is the lowest and highest rating; `name` is what the corpus is called.

    Raises ValueError for an unknown or absent column, an unknown name in a column, an absolute path, audio that is
    absent or cannot be read, a rating outside `scale`; FileNotFoundError where there is no table.
    """
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise ValueError(f"scale is {scale}; expected the lowest and the highest rating, as (1, 5)")
    path = _find(locate(root, EXPECTED))
    folder = path.parent
    table = schema.check_utterances(_load(path), str(path))
    absolute = [file for file in table["file"] if Path(file).is_absolute()]
    if absolute:
        raise ValueError(
            f"{path}: {len(absolute)} absolute paths, {schema.first(absolute)}; write them relative to {folder}"
        )
    absent = [file for file in table["file"] if not (folder / file).is_file()]
    if absent:
        raise ValueError(
            f"{path}: {len(absent)} of {len(table)} audio files are not there, {schema.first(absent)}; "
            f"expected them below {folder}; correct the column 'file' or drop the rows"
        )
    outside = out_of_scale(table, scale)
    if outside:
        raise ValueError(
            f"{path}: {len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the corpus's own scale, as scale=(1, 7)"
        )
    headers = read_headers(folder, list(table["file"]))
    differs = (table["seconds"] - headers["seconds"]).abs() > CLOSE
    findings = [
        Finding.of("duration that is not the audio's", table["utterance"][differs], "the table's was kept"),
        Finding.of("missing speaker", table["utterance"][table["speaker"].isna()], "kept; belongs to no speaker"),
        unusual(list(table["file"]), headers),
    ]
    table["seconds"] = table["seconds"].fillna(headers["seconds"])
    return assemble(name, folder, (float(scale[0]), float(scale[1])), table, findings)


def _find(given: Path) -> Path:
    if given.is_file():
        return given
    found = [given / name for name in NAMES if (given / name).is_file()]
    if not found:
        raise FileNotFoundError(f"no table in {given}; expected {EXPECTED}\n  it holds {contents(given)}")
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
