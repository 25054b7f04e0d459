"""MSP-Podcast, releases 1.6 to 2.0, in the layout of each."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from sercore import files
from sercore.corpora.corpus import Corpus, Finding, assemble, check_tolerance, locate, out_of_scale
from sercore.corpora.headers import THREADS, read_headers, unusual
from sercore.corpora.msp_release import EXPECTED, Release, find_root, read_labels, refuse, survey
from sercore.schema import UTTERANCE_COLUMNS, did_you_mean, first

SCALE = (1.0, 7.0)
EMOTIONS: dict[str, str | None] = {
    "A": "angry", "S": "sad", "H": "happy", "U": "surprised", "F": "fearful", "D": "disgusted", "C": "contemptuous",
    "N": "neutral", "O": "other", "X": None, "": None,
}  # fmt: skip  # X: no plurality among the raters
PARTITIONS: dict[str, str | None] = {
    "train": "train", "validation": "development", "development": "development", "test": "test", "test1": "test",
    "test2": None, "test3": None, "": None,
}  # fmt: skip
UNUSED = {"test2": "of Test2", "test3": "of Test3", "": "without partition"}
GENDERS: dict[str, str | None] = {"female": "female", "male": "male", "unknown": None, "": None}
RATINGS = {"arousal": "EmoAct", "valence": "EmoVal", "dominance": "EmoDom"}
NO_VALUE = ("", "nan", "na", "n/a", "none")
NAME = re.compile(r"MSP-PODCAST_(\d{4}|test3)_\d{4}(?:_\d{4})?$", re.IGNORECASE)  # podcast, turn, sometimes a part
TEST3 = "msp-podcast_test3"  # audio of a challenge, whose labels were never published


def read(root: str | Path, *, transcripts: str | Path | None = None, tolerance: float = 0.01) -> Corpus:
    """MSP-Podcast in `root`: the release's folder, or the one above it where it holds one release only.

    Transcripts are the release's own, one text file a turn; turns without one take it from `transcripts`, a CSV with
    the columns utterance and transcript (others are ignored), such as speech recognition writes. Test1 is the test
    partition; Test2 and Test3 belong to none. Rows without a wav are dropped, wavs without a row are not read, and both
    are reported; more of either than a share of `tolerance` of the rows is an error (Test3's wavs, which have no labels
    in any release, do not count). Unknown speakers and empty ratings are missing.

    Raises FileNotFoundError where labels or audio are not found, and ValueError, naming file and line, for releases
    before 1.6, two releases in one folder, an unknown class, partition or gender, a rating that is not a number, a turn
    that is there twice, and a wav that cannot be read.
    """
    check_tolerance(tolerance)
    root = find_root(locate(root, EXPECTED))
    release = survey(root)
    cells, source = read_labels(release)
    twice = cells["utterance"][cells["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{source}: {len(twice)} turns are labelled twice, {first(twice)}; expected one row a turn")
    table = _interpret(cells, source)
    keys = table["utterance"].str.lower()
    table["file"] = keys.map(release.wavs)
    findings = _compare(release, source, table, keys, tolerance)
    split = cells["Split_Set"].str.strip().str.lower().where(table["file"].notna())
    findings += [
        Finding.of(f"turn {which}", table["utterance"][split == name], "kept, in no partition")
        for name, which in UNUSED.items()
    ]
    table = table[table["file"].notna()].reset_index(drop=True)
    headers = read_headers(root, list(table["file"]))
    table["seconds"] = headers["seconds"]
    findings.append(unusual(list(table["file"]), headers))
    findings += _add_transcripts(table, release, transcripts)
    return assemble("msp-podcast", root, SCALE, table, [*findings, *_doubts(table, cells), *release.findings()])


def read_transcripts(path: str | Path) -> dict[str, str]:
    """Utterance -> transcript of the CSV file `path`; an empty cell means that nothing was recognised.

    Raises FileNotFoundError, and ValueError where a column is absent or an utterance is there twice.
    """
    path = files.resolve(path)
    if not path.is_file():
        raise FileNotFoundError(f"no transcripts file {path}; expected a CSV with the columns utterance and transcript")
    try:
        cells = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}") from None
    for column in ("utterance", "transcript"):
        if column not in cells:
            raise ValueError(f"{path}: no column '{column}'{did_you_mean(column, cells.columns)}")
    nameless = cells.index[cells["utterance"].str.strip() == ""]
    if len(nameless):
        raise ValueError(f"{path}: {len(nameless)} lines name no utterance, {first(nameless + 2)}; fill or drop them")
    twice = cells["utterance"][cells["utterance"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path}: {len(twice)} utterances have two transcripts, {first(twice)}; expected one row each")
    return dict(zip(cells["utterance"], cells["transcript"].map(_one_line), strict=True))


def _interpret(cells: pd.DataFrame, source: Path) -> pd.DataFrame:
    """The utterance table of the label file's text cells, without audio and transcripts."""
    table = pd.DataFrame(index=cells.index, columns=list(UTTERANCE_COLUMNS), dtype="object")
    table["utterance"] = cells["utterance"]
    podcasts = cells["utterance"].str.extract(NAME, expand=False)
    strange = cells["FileName"][podcasts.isna()]
    if len(strange) > 0.5 * len(cells):
        raise ValueError(
            f"{source}: {len(strange)} of {len(cells)} names such as '{strange.iloc[0]}' are not those of "
            "releases 1.6 to 2.0 (MSP-PODCAST_0001_0008.wav); earlier releases cannot be read"
        )
    table["dialog"] = ("MSP-PODCAST_" + podcasts).where(podcasts.str.isdigit().eq(True))
    table["style"] = "podcast"
    table["emotion"] = _named(cells, "EmoClass", {code.lower(): name for code, name in EMOTIONS.items()}, source)
    table["gender"] = _named(cells, "Gender", GENDERS, source)
    table["partition"] = _named(cells, "Split_Set", PARTITIONS, source)
    speakers = cells["SpkrID"].str.strip()
    table["speaker"] = speakers.where(~speakers.str.lower().isin([*NO_VALUE, "unknown"]))
    for dimension, column in RATINGS.items():
        text = cells[column].str.strip().str.lower()
        empty = text.isin(NO_VALUE)
        numbers = pd.to_numeric(text.where(~empty), errors="coerce").astype("float64")
        refuse(source, cells, ~empty & ~np.isfinite(numbers), column, [])
        table[dimension] = numbers
    return table


def _named(cells: pd.DataFrame, column: str, names: dict[str, str | None], source: Path) -> pd.Series:
    """The study's name of each cell. Raises ValueError, naming the line, for a cell that is none of `names`."""
    keys = cells[column].str.strip().str.lower()
    refuse(source, cells, ~keys.isin(list(names)), column, [name for name in names if name])
    return keys.map(names)


def _compare(release: Release, source: Path, table: pd.DataFrame, keys: pd.Series, tolerance: float) -> list[Finding]:
    """Rows without wav and wavs without row. Raises ValueError where either is more than `tolerance` of the rows."""
    silent = table["utterance"][table["file"].isna()]
    nameless = sorted(set(release.wavs).difference(keys))
    test3 = [release.wavs[stem] for stem in nameless if stem.startswith(TEST3)]
    unknown = [release.wavs[stem] for stem in nameless if not stem.startswith(TEST3)]
    for offenders, what, hint in (
        (silent, "rows have no wav", "unpack the rest of the audio"),
        (unknown, "wavs have no row", "do labels and audio belong to the same release? If they do"),
    ):
        if len(offenders) > tolerance * len(table) or (what == "rows have no wav" and len(offenders) == len(table)):
            raise ValueError(
                f"{release.root}: {len(offenders)} {what} ({len(table)} rows in {source.name}, "
                f"{len(release.wavs)} wavs), {first(offenders)};\n"
                f"at most {tolerance:.0%} may; {hint}, or raise tolerance to go on without them"
            )
    return [
        Finding.of("row without wav", silent, "dropped"),
        Finding.of("wav without row", unknown, "not read"),
        Finding.of("wav of Test3 without row", test3, "not read: its labels were never published"),
    ]


def _add_transcripts(table: pd.DataFrame, release: Release, path: str | Path | None) -> list[Finding]:
    """Fill the column transcript of `table`, from the release and then from the file `path`."""
    found = [release.transcripts.get(key) for key in table["utterance"].str.lower()]
    share = -(-len(found) // THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(
            lambda start: [_read_text(text) for text in found[start : start + share]], range(0, len(found), share)
        )
        own = pd.Series([text for part in parts for text in part], index=table.index, dtype="object")
    written = read_transcripts(path) if path is not None else {}
    table["transcript"] = own.where(own.notna(), table["utterance"].map(written))
    told = table["transcript"]
    filled = table["utterance"][own.isna() & told.notna()]
    unknown = sorted(set(written).difference(table["utterance"]))
    source = "" if path is None else Path(path).name
    return [
        Finding.of("transcript by speech recognition", filled, f"taken from {source}: not typed by a human"),
        Finding.of("transcript of a turn that is not read", unknown, "ignored"),
        Finding.of("turn without transcript", table["utterance"][told.isna()], "kept, transcript missing"),
        Finding.of("empty transcript", table["utterance"][told == ""], "kept: nothing was said, or nothing recognised"),
    ]


def _read_text(path: Path | None) -> str | None:
    return None if path is None else _one_line(path.read_text(encoding="utf-8-sig", errors="replace"))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _doubts(table: pd.DataFrame, cells: pd.DataFrame) -> list[Finding]:
    """What is odd in the labels of the turns that were read."""
    classless = set(cells["utterance"][cells["EmoClass"].str.strip() == ""])
    missing = [f"{turn} ({name})" for name in RATINGS for turn in table["utterance"][table[name].isna()]]
    strange = table["dialog"].isna() & ~table["utterance"].str.lower().str.startswith(TEST3)
    genders = table.dropna(subset=["speaker", "gender"]).groupby("speaker")["gender"].nunique()
    return [
        Finding.of("unknown speaker", table["utterance"][table["speaker"].isna()], "kept; belongs to no speaker"),
        Finding.of("speaker of two genders", genders.index[genders > 1], "kept as written"),
        Finding.of("missing rating", missing, "kept without it"),
        Finding.of("missing emotion", table["utterance"][table["utterance"].isin(classless)], "kept without it"),
        Finding.of("rating outside the scale", out_of_scale(table, SCALE), "kept as written; the scale is 1 to 7"),
        Finding.of("unusual name", table["utterance"][strange], "kept, podcast unknown"),
    ]
