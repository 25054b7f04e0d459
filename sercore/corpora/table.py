"""Any other corpus: a table of its utterances, as text or Parquet, and such a table made from the names of its files.

`read` reads the table. `tabulate` makes it from a folder of audio and a pattern of its names, such as
`{speaker}_{emotion}_*.wav`; the table is written beside the audio as utterances.csv.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from sercore import schema
from sercore.corpora import cells, columns, corpus
from sercore.corpora.corpus import Corpus, Finding, assemble, contents, locate, out_of_scale, walk
from sercore.corpora.headers import in_threads, read_headers, unusual
from sercore.corpora.names import FIELDS, compile_pattern
from sercore.corpora.sound import AUDIO
from sercore.corpora.transcripts import read_for, unmatched

DEPTH = 8  # folders below the top that are looked through
TEXT_SUFFIX = ".txt"  # of the transcript beside an audio file
TRANSLATED = ("emotion", "gender", "partition", "style")
NAMES = ("utterances.csv", "utterances.tsv", "utterances.parquet")
SAMPLED = 20  # files by which the folder of the audio is found
CLOSE = 0.1  # a duration that differs by more from the audio's own is reported [s]
EXPECTED = f"a table of utterances ({', '.join(cells.TABLES)}), or the folder that holds {' or '.join(NAMES)}"


def read(
    root: str | Path,
    *,
    scale: Sequence[float] = (1.0, 5.0),
    columns: Mapping[str, str | None] | None = None,
    emotions: Mapping[str, str | None] | None = None,
    folder: str | None = None,
    groups: Sequence[str] | None = None,
    transcripts: str | Path | None = None,
    name: str = "table",
) -> Corpus:
    """The corpus described by the table `root`, or by one of NAMES in the folder `root`.

    The table has the columns of schema.UTTERANCE_COLUMNS, of which `file` is needed; it is relative to the table's
    folder, which is the corpus's root, or to `folder`. Without `utterance` the files' names are the ids. A cell of
    cells.BLANKS is missing. Durations that the table lacks are those of the audio. A table may lack `speaker`, but no
    split of it can keep speakers apart. Other columns are kept aside.

    `scale` is the lowest and highest rating. `columns` renames the table's own columns (path -> file); one renamed to
    None is left out. `emotions` translates the table's labels (W -> angry, boredom -> None: missing); other words for
    the names of a column (anger, F, dev) need no translation. `folder`, in which `file` is, is itself relative to the
    table's. `groups` are columns of the table, as age and language, whose values group utterances in scores.
    Utterances without a transcript take it from the CSV `transcripts` (utterance, transcript). `name` is what the
    corpus is called. What was mapped, guessed and kept aside is in the findings.

    Raises ValueError for a column that is absent, or nearly called like one that is, an unknown name in a column, audio
    that is absent or cannot be read, a rating outside `scale`; FileNotFoundError where there is no table.
    """
    if len(scale) != 2 or not scale[0] < scale[1]:
        raise ValueError(f"scale is {scale}; expected the lowest and the highest rating, as (1, 5)")
    path = _find(locate(root, EXPECTED))
    sheet = load(path)
    findings = [Finding.of(kind, [example], "is it read right?") for kind, example in sheet.assumed.items()]
    rows, found = _recognised(_renamed(sheet.cells, columns or {}, path), groups or (), path)
    findings += found
    if "speaker" not in rows:
        meaning = "every speaker counts as unknown; a split cannot keep speakers apart"
        findings.append(Finding.of("no column 'speaker'", rows["file"], meaning))
        rows["speaker"] = np.nan
    if "utterance" not in rows:
        rows["utterance"] = _ids(rows["file"].fillna("").astype("str"))
        findings.append(Finding.of("no column 'utterance'", rows["utterance"], "the files' names are the ids"))
    rows, found = corpus.tidy(rows, emotions or ())
    findings += found
    if emotions and schema.EMOTION in rows:
        findings.append(corpus.unused(emotions, rows[schema.EMOTION], schema.EMOTION, path))
    for column in rows.columns.intersection(TRANSLATED):
        given = emotions if column == schema.EMOTION else None
        before = rows[column]
        rows[column] = corpus.translate(before, column, given, str(path), place=sheet.place)
        findings.append(_mapped(before, rows[column], column, given or {}))
    for column in rows.columns.intersection(schema.NUMBERS):
        written = rows[column]
        rows[column] = cells.with_points(written)
        changed = written[rows[column].ne(written) & written.notna()]
        findings.append(Finding.of(f"comma in a number of {column}", changed, "read as a decimal point"))
    rows["file"], absent, found = _found(rows["file"], path.parent, folder or "")
    findings += found
    table = schema.check_utterances(rows, str(path), sheet.place)
    del rows, sheet  # a million take 200 MB
    headers = _read_content(table, path, (float(scale[0]), float(scale[1])), absent)
    differs = (table["seconds"] - headers["seconds"]).abs() > CLOSE
    without_speaker = table["speaker"].isna()
    findings += [
        Finding.of("duration that is not the audio's", table["utterance"][differs], "the table's was kept"),
        unusual(table["file"], headers),
        Finding.of(
            "same file in several rows",
            table["utterance"][schema.repeated(table["file"])],
            "kept; the file counts more than once",
        ),
    ]
    if not without_speaker.all():
        findings.append(
            Finding.of("missing speaker", table["utterance"][without_speaker], "kept; belongs to no speaker")
        )
    table["seconds"] = table["seconds"].fillna(headers["seconds"])
    if transcripts is not None:
        written = read_for(transcripts, table["utterance"])
        silent = table["utterance"][table["transcript"].isna()]
        findings += unmatched(transcripts, written, silent, table["utterance"])
        table["transcript"] = table["transcript"].fillna(table["utterance"].map(written))
    return assemble(name, path.parent, (float(scale[0]), float(scale[1])), table, findings)


def _find(given: Path) -> Path:
    if given.is_file():
        return given
    tables = [given / name for name in NAMES if (given / name).is_file()]
    if not tables:
        raise FileNotFoundError(
            f"no table in {given}; expected {EXPECTED}\n  it holds {contents(given)}\n"
            "  `sercore table` makes one from the names of audio files, or reads one of any name with --from"
        )
    if len(tables) > 1:
        raise ValueError(f"{given} holds both {' and '.join(path.name for path in tables)}; give the one to read")
    return tables[0]


def load(path: Path) -> cells.Sheet:
    """The cells of the table `path`. Raises ValueError for a file of another kind, and as cells.read_sheet does."""
    if path.suffix.lower() not in cells.TABLES:
        raise ValueError(
            f"{path}: expected {EXPECTED}, found a '{path.suffix}' file; a spreadsheet is saved as 'CSV UTF-8'"
        )
    return cells.read_sheet(path)


def _renamed(rows: pd.DataFrame, given: Mapping[str, str | None], path: Path) -> pd.DataFrame:
    """`rows` with their columns renamed as `given`.

    Raises ValueError for a column that is not there, and where two columns get the same name.
    """
    for column in given:
        if column not in rows:
            raise ValueError(f"{path}: no column '{column}' to rename{schema.did_you_mean(column, rows.columns)}")
    rows = rows.drop(columns=[column for column, name in given.items() if name is None])
    rows = rows.rename(columns={column: name for column, name in given.items() if name is not None})
    twice = rows.columns[rows.columns.duplicated()]
    if len(twice):
        raise ValueError(f"{path}: two columns are called '{twice[0]}'; rename one of them, or leave it out")
    return rows


def _recognised(rows: pd.DataFrame, groups: Sequence[str], path: Path) -> tuple[pd.DataFrame, list[Finding]]:
    """The columns of `rows` that are ours, those of `groups` under their names in the utterance table, and findings.

    Raises ValueError for one that is needed and absent, with the column that it may be, for one that is nearly called
    like a column that is absent, and for a group that is not there.
    """
    names = {name: columns.spelt(name) for name in rows.columns if columns.spelt(name) not in rows.columns}
    names = {name: ours for name, ours in names.items() if list(names.values()).count(ours) == 1}
    numbered = [name for name in rows.columns if cells.is_index(rows[name])]
    rows = rows.drop(columns=numbered).rename(columns=names)
    others = [name for name in rows.columns if name not in schema.UTTERANCE_COLUMNS]
    for group in groups:
        if group not in others:
            raise ValueError(f"{path}: no column '{group}' for the option groups{schema.did_you_mean(group, others)}")
    aside = [name for name in others if name not in groups]
    absent = dict.fromkeys(name for name in schema.UTTERANCE_COLUMNS if name not in rows.columns)
    guessed = columns.propose(rows).names if aside else {}
    guessed = {theirs: ours for theirs, ours in guessed.items() if ours in absent}
    near = {name: ours for name in aside if (ours := columns.misspelt(name, absent)) is not None}
    problems = [
        f"column '{name}' is nearly called '{ours}', which is absent: rename it with the reader's option `columns`, as "
        f"{{{name}: {ours}}}, or leave it out, as {{{name}: null}}"
        for name, ours in near.items()
    ]
    if "file" in absent and "file" not in near.values():
        theirs = next((theirs for theirs, ours in guessed.items() if ours == "file"), None)
        hint = f"it has {schema.first(rows.columns, 12)}"
        if theirs is not None:
            hint = f"'{theirs}' may be it: the reader's option `columns` renames it, as {{{theirs}: file}}"
        problems.append(f"no column file, which says where the audio is; {hint}")
    if problems:
        problems.append(f"`sercore table --from {path}` proposes what each column is, and writes it down")
        raise ValueError(f"{path}: " + "\n  ".join(problems))
    perhaps = {theirs: ours for theirs, ours in guessed.items() if theirs in aside}
    kept = [name for name in aside if name not in perhaps]
    return rows.drop(columns=aside).rename(columns={name: schema.GROUP + name for name in groups}), [
        Finding.of("column in another spelling", [f"{old} ({new})" for old, new in names.items()], "read as that"),
        Finding.of("column that numbers the rows, or is empty", numbered, "left out"),
        Finding.of(
            "column that is perhaps one of ours",
            [f"{theirs} ({ours})" for theirs, ours in perhaps.items()],
            f"kept aside; the option columns: {{{', '.join(map(': '.join, perhaps.items()))}}} has it read",
        ),
        Finding.of("column that is none of ours", kept, "kept aside; the option groups takes it for scores by group"),
    ]


def _mapped(before: pd.Series, after: pd.Series, column: str, given: Mapping[str, str | None]) -> Finding:
    """What labels of `column` were called `before` that are called otherwise `after`, but for those `given`."""
    different = before[~schema.repeated(before)].dropna()
    pairs = zip(different, after[different.index], strict=True)
    own = {cells.clean(str(label)) for label in given}
    mapped = [f"{theirs} = {ours}" for theirs, ours in pairs if theirs not in own and theirs != ours and pd.notna(ours)]
    return Finding.of(f"{column} in other words", mapped, "read as that")


def _found(files: pd.Series, home: Path, folder: str) -> tuple[pd.Series, list[str], list[Finding]]:
    """`files`, paths in `folder`, as they are on the disk, relative to `home`, and as written those that are not there.

    An absolute path becomes relative. A file that is not there is looked for with its letters composed and decomposed,
    with / for the backslashes of Windows, with the suffixes of audio, and its own in the other case.
    """
    base = Path(os.path.relpath(Path(home, folder).expanduser() if folder else home, home)).as_posix()
    prefix = "" if base == "." else f"{base}/"
    known = files.dropna()
    absolute = known[known.str.match(r"[/\\~]|[A-Za-z]:", na=False)].unique().tolist()
    moved = {file: Path(os.path.relpath(Path(file).expanduser(), home)).as_posix() for file in absolute}
    moved = {file: place for file, place in moved.items() if Path(file).expanduser().is_absolute()}
    written = known.unique().tolist()
    places = [moved.get(file) or prefix + file for file in written]
    held = in_threads(lambda place: _held(f"{home}/{place}"), places)
    lost = [(file, place) for file, place, there in zip(written, places, held, strict=True) if not there]
    respelt = dict(zip(lost, in_threads(lambda pair: _other_spelling(home, pair[1]), lost), strict=True))
    found = {file: place for (file, _), place in respelt.items() if place is not None}
    absent = [file for file, _ in lost if file not in found]
    paths = dict(zip(written, places, strict=True)) | found
    if prefix or moved or found:
        files = cells.translated(files, paths.__getitem__)
    return (
        files,
        absent,
        [
            Finding.of(
                "absolute path",
                [file for file in moved if file not in absent],
                "read; of use on this machine alone: write it relative to the table, or to the option folder",
            ),
            Finding.of(
                "file that is spelt otherwise on the disk",
                [f"{file} ({place})" for file, place in found.items() if not cells.same_letters(prefix + file, place)],
                "read",
            ),
        ],
    )


def options(path: Path, proposal: columns.Proposal, rows: pd.DataFrame, audio: Path | None = None) -> dict[str, Any]:
    """The options of `read` that have the table `path`, of the cells `rows`, read as `proposal` says.

    Its files are in the folder `audio`; without it, in the one at or below the table's that holds the first of them.
    """
    ours = {**{name: columns.spelt(name) for name in rows.columns}, **proposal.names}
    theirs = {name: column for column, name in ours.items() if column not in proposal.aside}
    found: dict[str, Any] = {"columns": dict(proposal.names)}
    found["columns"] |= {name: None for name in proposal.aside if columns.spelt(name) in schema.UTTERANCE_COLUMNS}
    ratings = [theirs[name] for name in schema.DIMENSIONS if name in theirs]
    numbers = rows[ratings].apply(lambda column: pd.to_numeric(cells.with_points(column), errors="coerce"))
    found["scale"] = list(columns.scale_of(numbers))
    if "file" in theirs:
        named = rows[theirs["file"]].dropna().astype("str").head(SAMPLED).tolist()
        place = Path(os.path.relpath(audio, path.parent)).as_posix() if audio else _folder_of(named, path.parent)
        found["folder"] = None if place == "." else place
    found["groups"] = list(proposal.groups)
    return {name: value for name, value in found.items() if value}


def _folder_of(named: Sequence[str], home: Path) -> str | None:
    """The folder at or below `home`, relative to it, that holds most of the files `named`; None where none does."""
    held = {
        place: sum(_other_spelling(home, f"{place}/{file}") is not None for file in named)
        for place, _, _ in walk(home, DEPTH)
    }
    best = max(held, key=lambda place: held[place])
    return best if held[best] else None


def _other_spelling(home: Path, place: str) -> str | None:
    """The file, relative to `home`, that `place` may mean; None where there is none."""
    plain = place if "\\" not in place else PureWindowsPath(place).as_posix()
    path = Path(plain)
    other = [path.with_suffix(case).as_posix() for case in (path.suffix.lower(), path.suffix.upper()) if path.suffix]
    suffixed = [plain + suffix for suffix in AUDIO] if path.suffix.lower() not in AUDIO else []
    spellings = (cells.spelt_on_disk(home, name) for name in (plain, *other, *suffixed))
    return next((spelling for spelling in spellings if (home / spelling).is_file()), None)


def _read_content(table: pd.DataFrame, path: Path, scale: tuple[float, float], absent: Sequence[str]) -> pd.DataFrame:
    """The headers of the audio of `table`, as headers.read_headers gives them.

    Raises ValueError where rows have `absent` audio or audio that cannot be read, or a rating outside `scale`; all are
    named.
    """
    outside = out_of_scale(table, scale)
    problems = []
    if absent:
        elsewhere = ""
        if PureWindowsPath(absent[0]).root:
            elsewhere = "; they are absolute paths of another machine: write what is behind the folder of the audio"
        problems.append(
            f"{len(absent)} of {table['file'].nunique()} audio files {schema.are(len(absent))} not there, "
            f"{schema.first(absent)}; expected them below {path.parent}{elsewhere}; correct the column 'file', name "
            "the folder that they are in with the option `folder`, or drop the rows"
        )
    if outside:
        problems.append(
            f"{len(outside)} ratings outside {scale[0]:g} to {scale[1]:g}, {schema.first(outside)}; "
            "give the corpus's own scale, as --scale 1 7 (in a parameters file `scale: [1, 7]`)"
        )
    there = table["file"]
    if absent:
        there = there[in_threads(lambda file: _held(f"{path.parent}/{file}"), there.tolist())]
    try:
        headers = read_headers(path.parent, there)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError(f"{path}: " + "\n  ".join(problems))
    return headers


def _held(file: str) -> bool:
    """Whether `file` is there, of whatever kind."""
    try:
        os.stat(file)  # noqa: PTH116 -- half the time of Path.exists
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class Listing:
    """The utterance table made from the names below a folder, and the files that are not in it."""

    utterances: pd.DataFrame  # `utterance`, `file`, and the columns whose fields are in the pattern
    unmatched: tuple[str, ...]  # audio whose names do not fit the pattern
    without_emotion: tuple[str, ...]  # utterances whose label is to count as missing
    transcripts: int  # utterances with a text file beside the audio
    unused: tuple[str, ...] = ()  # labels that were given a name, and no file has


def tabulate(root: str | Path, pattern: str, emotions: Mapping[str, str | None] | None = None) -> Listing:
    """The table of the audio below `root`, from names that fit `pattern`.

    `emotions` translates the labels in the names (W -> angry; boredom -> None: missing); schema.EMOTION_NAMES and their
    nouns need no translation. A text file with the name of an audio file is its transcript. An utterance's id is its
    file's name, or its path where files of two folders share a name. Dialogs are called after their partition too where
    one occurs in two partitions: they are numbered in each. What a name says of a speaker, a dialog or a label is clean
    and may be missing, see cells.

    Raises ValueError for a pattern that is wrong or fits no name, and for unknown labels.
    """
    folder = locate(root, "a folder of audio files")
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; expected a folder of audio files")
    expression = compile_pattern(pattern)
    names = audio_below(folder)
    if not names:
        raise ValueError(f"no audio ({', '.join(AUDIO)}) below {folder}; it holds {contents(folder)}")
    matches = {name: expression.match(name) if schema.printable(name) == name else None for name in names}
    rows = [{"file": name, **match} for name, match in matches.items() if match]
    if not rows:
        raise ValueError(
            f"none of {len(names)} audio files below {folder} fits '{pattern}'; the first are {schema.first(names, 3)}"
        )
    table = pd.DataFrame(rows)
    if "utterance" not in table:
        table["utterance"] = _ids(table["file"])
    table, _ = corpus.tidy(table, emotions or ())
    labels = table[schema.EMOTION] if schema.EMOTION in table else pd.Series(dtype="str")
    unused = corpus.unused(emotions, labels, schema.EMOTION, folder)
    for column in table.columns.intersection(TRANSLATED):
        table[column] = corpus.translate(table[column], column, emotions if column == "emotion" else None, str(folder))
    if "dialog" in table and "partition" in table:
        table["dialog"] = _dialogs(table)
    transcripts = [_transcript_beside(folder / name) for name in table["file"]]
    if any(text is not None for text in transcripts):
        table["transcript"] = transcripts
    without_emotion = table["utterance"][table["emotion"].isna()] if "emotion" in table else ()
    order = [column for column in schema.UTTERANCE_COLUMNS if column in table]
    return Listing(
        utterances=table[order],
        unmatched=tuple(_named(name) for name, match in matches.items() if not match),
        without_emotion=tuple(without_emotion),
        transcripts=sum(text is not None for text in transcripts),
        unused=unused.examples,
    )


def beside(utterances: pd.DataFrame, folder: Path, home: Path) -> pd.DataFrame:
    """`utterances` whose files, relative to `folder`, are relative to `home`, the table's folder."""
    place = Path(os.path.relpath(folder, home))
    return utterances.assign(file=[(place / file).as_posix() for file in utterances["file"]])


def audio_below(folder: Path) -> list[str]:
    """The audio files below `folder`, relative to it, sorted; hidden files and folders are left out."""
    return [
        name if place == "." else f"{place}/{name}"
        for place, _, names in walk(folder, DEPTH)
        for name in names
        if Path(name).suffix.lower() in AUDIO and not name.startswith(".")
    ]


def describe(listing: Listing, shown: int = 5) -> list[str]:
    """Lines to print: the first `shown` rows, how often each value occurs, and what was left out."""
    table = listing.utterances
    lines = [*table.head(shown).to_string(index=False, na_rep="").splitlines(), f"{len(table):,} utterances"]
    for column in FIELDS:
        if column in table and column != "utterance":
            counts = table[column].value_counts()
            values = schema.first((f"{value} {count:,}" for value, count in counts.items()), 12)
            lines.append(f"  {column:<10} {len(counts):,}: {values}")
    beside_audio = f"a {TEXT_SUFFIX} file beside the audio"
    number = f"{listing.transcripts:,} with {beside_audio}" if listing.transcripts else f"none ({TEXT_SUFFIX})"
    lines.append(f"  {'transcript':<10} {number}")
    for what, names in (
        ("names do not fit, left out", listing.unmatched),
        ("no emotion", listing.without_emotion),
        ("labels that were named, and no file has", listing.unused),
    ):
        if names:
            lines.append(f"  {len(names):,} {what}: {schema.first(names, 3)}")
    if "speaker" in table:
        near = cells.doubted(table["speaker"].value_counts().sort_index().to_dict())
        lines += [f"  speakers that may be one person: {schema.first(near)}"] if near else []
    else:
        lines.append(
            "  no speaker: a split cannot keep speakers apart, and its scores are too high; name {speaker} if you can"
        )
    return lines


def _named(name: str) -> str:
    """`name` for print, with what is to be done where a table cannot hold it."""
    text = schema.printable(name)
    return text if text == name else f"{text} (not in UTF-8: rename it)"


def _ids(paths: Sequence[str]) -> list[str]:
    stems = [Path(path).stem for path in paths]
    if len(set(stems)) == len(stems):
        return stems
    return [corpus.id_of(path) for path in paths]


def _dialogs(table: pd.DataFrame) -> pd.Series:
    """The dialogs of `table`, behind their partition where one of them occurs in two partitions."""
    twice = table.groupby("dialog")["partition"].nunique().gt(1).any()
    return table["partition"].fillna("none") + "-" + table["dialog"] if twice else table["dialog"]


def _transcript_beside(audio: Path) -> str | None:
    """The transcript in the text file beside `audio`, .txt or .TXT; None where there is none."""
    for path in (audio.with_suffix(TEXT_SUFFIX), audio.with_suffix(TEXT_SUFFIX.upper())):
        if path.is_file():
            return cells.clean(cells.read_text(path))
    return None
