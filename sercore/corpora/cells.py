"""Cells as they are written -> text that may be compared: the one place in which tables and names are read and cleaned.

Two spellings of one thing must not count as two. So every text is cleaned on its way in (`clean`), words that stand for
a missing value are missing (`is_blank`), and speakers whose names are the same but for their spelling are one voice to
the splits (`voice`).
"""

import codecs
import contextlib
import csv
import io
import itertools
import re
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sercore import files, schema

NOT_KNOWN = "nil, unknown, unk, <unk>, unspecified, undefined, missing, not available, not known"
SIGNS = ("nan", "na", "n/a", "n.a.", "#n/a", "<na>", "nat", "none", "null", "-", "--", "\u2013", "\u2014", "?")
BLANKS = frozenset(["", *SIGNS, *NOT_KNOWN.split(", ")])
"""What stands for a missing value in a cell, in lower case; not in a transcript, whose words are said."""
UNDEFINED = (0x81, 0x8D, 0x8F, 0x90, 0x9D)  # in Windows-1252
FROM_WINDOWS = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in UNDEFINED}
"""Control characters that a text in Windows-1252 holds where it was read as Latin-1: 0x92 is an apostrophe."""
UNSEEN = dict.fromkeys([0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Characters without width that no word needs: soft hyphen, zero-width space, byte order mark, directions."""
LOOK_ALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d\u043a\u043c\u0442\u0432\u043d"
    "\u03b1\u03bf\u03c1\u03bd\u03b9\u03ba\u03c5\u03c7\u03b5\u0131"
    "01",
    "aeopcyxijsdhqwkmtbh" + "aopvikuxei" + "ol",
)
"""Letters of Cyrillic and Greek, and digits, that look like a Latin letter, in lower case."""
ACCENTS = re.compile("[\u0300-\u036f]")
LEADING_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
SEPARATORS = re.compile(r"[\W_]+")
RARE = 4  # of two speakers a letter apart, one is doubted that has so many times fewer utterances
NAME = 4  # letters from which two names a letter apart are doubted, however many utterances they have
UNCLEAN = "[^ -~]|^ | $|  "
"""Finds each text that `clean` may change, and others that it does not."""
ROWS_AT_ONCE = 20_000  # of a CSV that are held as Python texts


def clean(text: str) -> str:
    """`text` composed (NFC), with one plain space between its words and none around them, without unseen characters.

    >>> clean(" Ada\\u00a0 Lovelace ")
    'Ada Lovelace'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(FROM_WINDOWS).translate(UNSEEN))
    return " ".join(text.split())


def is_blank(text: str) -> bool:
    """Whether the clean `text` stands for a missing value, whatever its case."""
    return text.lower() in BLANKS


def spelt_on_disk(folder: Path, file: str) -> str:
    """`file`, relative to `folder`, with its letters composed or decomposed as on the disk; as it is where absent."""
    if file.isascii() or (folder / file).is_file():
        return file
    spellings = (unicodedata.normalize(form, file) for form in ("NFC", "NFD"))
    return next((spelling for spelling in spellings if (folder / spelling).is_file()), file)


def same_letters(one: str, other: str) -> bool:
    """Whether two texts differ at most in letters that are composed or decomposed."""
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)


def is_index(column: pd.Series) -> bool:
    """Whether `column` has no name, and is empty or numbers the rows from 0 or 1."""
    if not re.fullmatch(r"Unnamed: \d+|index|", str(column.name)):
        return False
    if column.isna().all():
        return True
    numbers = pd.to_numeric(column, errors="coerce")
    return bool((numbers == numbers.index).all() or (numbers == numbers.index + 1).all())


def read_text(path: Path) -> str:
    """The text of the file `path`, in UTF-8, or in UTF-16 with its byte order mark, without that mark.

    Raises ValueError, naming the file, the line and what stands before it, for a byte of another encoding.
    """
    content, encoding = path.read_bytes(), _encoding(path)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        before = content[content.rfind(b"\n", 0, error.start) + 1 : error.start].decode(encoding, "replace")
        after = f" after '{before[-20:]}'" if before else ""
        raise ValueError(
            f"{path}: expected text in {NAMES_OF_ENCODINGS[encoding]}, found another encoding "
            f"(byte 0x{content[error.start]:02x} in line {line}{after}); save it as UTF-8, in a spreadsheet as "
            "'CSV UTF-8'"
        ) from None


NAMES_OF_ENCODINGS = {"utf-8-sig": "UTF-8", "utf-16": "UTF-16"}


def _encoding(path: Path) -> str:
    """UTF-16 where the file `path` begins with its byte order mark, else UTF-8."""
    with path.open("rb") as content:
        return "utf-16" if content.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _windows_text(path: Path) -> str:
    """The text of a file that is not in UTF-8, as Windows-1252, of which Latin-1 is a part.

    Raises ValueError as `read_text` does where it holds letters in UTF-8 too, and where it is not in Windows-1252.
    """
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    if not content.decode("utf-8", "ignore").isascii():
        return read_text(path)
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return read_text(path)


BETWEEN_CELLS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
"""What may stand between cells, the likeliest first."""
SEPARATOR_LINE = re.compile(r'"?sep=([,\t;|])[,\t;|]*"?')
"""What Excel writes above some tables."""
TABLES = (".csv", ".tsv", ".tab", ".txt", ".parquet")
RAW_QUOTES = "quotes that are part of the text"
WINDOWS = "text that is not UTF-8, taken as Windows-1252 (Latin-1)"


class Sheet(NamedTuple):
    """The cells of a table, and how its file was read."""

    cells: pd.DataFrame
    assumed: Mapping[str, str] = {}  # what had to be guessed -> an example
    lines: Sequence[int] = ()  # of each row in the file; none in a Parquet file, which has no lines

    def place(self, row: int) -> str:
        """Where the row `row`, counted from 0, stands: `line 2`, or `row 1` of a Parquet file."""
        return f"line {self.lines[row]}" if self.lines else f"row {row + 1}"


def read_csv(path: Path) -> pd.DataFrame:
    """The text cells of the table `path` without space around them, empty where nothing is written, under its names.

    Commas, tabs, semicolons or bars are between the cells, whichever the first line has most of. A column without a
    name is called as pandas calls it, `Unnamed: 0`. No word stands for a missing value here, and '=1+1 is =1+1
    (files.unguarded). Raises ValueError, naming the file and line, for another encoding, an open quote, a line with
    more or fewer cells than the first, and two columns of one name.
    """
    return _read_text_table(path, guess=False).cells


def _read_text_table(path: Path, guess: bool) -> Sheet:
    """As read_csv. With `guess` text may be in Windows-1252, and quotes between tabs may be part of the text."""
    try:
        with path.open(encoding=_encoding(path), newline="") as text:
            return _parsed(text, path, guess)
    except UnicodeDecodeError:
        whole = _windows_text(path) if guess else read_text(path)  # the errors of both say what was found, and where
    sheet = _parsed(io.StringIO(whole, newline=""), path, guess)
    foreign = re.search(r"[^\s,;|]*[^\x00-\x7f][^\s,;|]*", whole)
    return sheet._replace(assumed={**sheet.assumed, WINDOWS: foreign[0] if foreign else ""})


def _parsed(text: TextIO, path: Path, guess: bool) -> Sheet:
    separator = _separator(text)
    text.seek(0)
    try:
        return _table(text, path, separator, csv.QUOTE_MINIMAL)
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        if separator != "\t" or not guess:
            raise
        text.seek(0)
        with contextlib.suppress(ValueError):  # the first error is the one to mend
            sheet = _table(text, path, separator, csv.QUOTE_NONE)
            return sheet._replace(assumed={RAW_QUOTES: re.findall(r"line \d+|$", str(error))[0]})
        raise


def _separator(text: TextIO) -> str:
    """The one of BETWEEN_CELLS that Excel names in the first line, or that the first line has most of."""
    line = next((line for line in text if clean(line)), "")
    if named := SEPARATOR_LINE.fullmatch(line.strip("\r\n")):
        return named[1]
    counts = {separator: len(next(csv.reader([line], delimiter=separator), [])) for separator in BETWEEN_CELLS}
    return max(counts, key=lambda separator: counts[separator])


def _table(text: TextIO, path: Path, separator: str, quoting: Any) -> Sheet:
    """The table in `text`. Raises ValueError as read_csv does."""
    lines, numbers = csv.reader(text, delimiter=separator, quoting=quoting, strict=True), array("L")
    try:
        heads = (line for line in lines if any(map(clean, line)))
        first = next(heads, [])
        if SEPARATOR_LINE.fullmatch(separator.join(first)):
            first = next(heads, [])
        if not first:
            raise ValueError(f"{path} is not a CSV table: it is empty; expected the names of its columns first")
        if any("\0" in name for name in first):
            raise ValueError(
                f"{path}: zero bytes in its first line; expected text (is it UTF-16 without a byte order mark, or a "
                "spreadsheet's own file?); save it as 'CSV UTF-8'"
            )
        names = [clean(name) or f"Unnamed: {place}" for place, name in enumerate(first)]
        _check_names(names, path)
        rows = _rows(lines, names, path, BETWEEN_CELLS[separator], numbers)
        parts = [_columns(batch, names) for batch in _batches(rows)]
    except csv.Error as error:
        raise ValueError(
            f"{path} is not a CSV table: line {lines.line_num}: {error}; "
            'a cell with a quote is written in quotes, with the quote twice: "he said ""no"""'
        ) from None
    table = pa.Table.from_batches(parts or [_columns([], names)]).to_pandas(self_destruct=True)
    return Sheet(files.unguarded(table), lines=numbers)


def _check_names(names: list[str], path: Path) -> None:
    """Raise ValueError where two columns of `path` have one of `names`."""
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ValueError(f"{path}: two columns are called '{twice[0]}'; rename one of them, or leave it out")


def _rows(lines: Any, names: list[str], path: Path, separator: str, numbers: "array[int]") -> Iterator[list[str]]:
    """The rows of `lines`, a csv.reader, with as many cells as `names`; blank lines are passed over.

    The line of each row is added to `numbers`.
    """
    for row in lines:
        if len(row) == len(names):
            numbers.append(lines.line_num)
            yield row
        elif any(map(clean, row)):
            hint = f"a {separator} is missing: an empty cell needs one too"
            if len(row) > len(names):
                hint = (
                    f"a {separator} is too many: a cell that holds one is written in quotes, none ends a line, and "
                    "each column has a cell in the first line, which may be empty"
                )
            raise ValueError(
                f"{path}, line {lines.line_num}: {len(row)} cells, but {len(names)} columns "
                f"({schema.first(names, 8)}); {hint}"
            )


def _batches(rows: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    while batch := list(itertools.islice(rows, ROWS_AT_ONCE)):
        yield batch


def _columns(rows: list[list[str]], names: list[str]) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    return pa.RecordBatch.from_arrays([pa.array(map(str.strip, cells), pa.large_string()) for cells in columns], names)


DAMAGED_PARQUET = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, MemoryError)
"""What pyarrow and pandas raise for a file that is damaged, by where it is."""


def read_table(path: Path) -> pd.DataFrame:
    """The cells of the table `path`, one of TABLES; a cell in which nothing is written is missing.

    Named levels of a Parquet file's index are columns. An empty transcript of a Parquet file says that nothing was
    said, and stays. Raises ValueError as `read_csv`, and for a file that is no Parquet table.
    """
    return read_sheet(path, guess=False).cells


def read_sheet(path: Path, guess: bool = True) -> Sheet:
    """As read_table, with what had to be guessed: text in Windows-1252, and quotes between tabs that are text."""
    if path.suffix.lower() != ".parquet":
        sheet = _read_text_table(path, guess)
        return sheet._replace(cells=sheet.cells.replace("", None))
    try:
        table = pd.read_parquet(path)
    except DAMAGED_PARQUET as error:
        if not path.is_file():
            raise
        raise ValueError(f"{path} is not a whole Parquet table: {type(error).__name__}: {error}") from None
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    table.columns = [clean(str(name)) for name in table.columns]
    _check_names(list(table.columns), path)
    return Sheet(pd.DataFrame({name: _emptied(as_text(table[name], str.strip), name) for name in table.columns}))


def _emptied(cells: pd.Series, name: str) -> pd.Series:
    return cells if name == "transcript" or pd.api.types.is_numeric_dtype(cells.dtype) else cells.mask(cells == "")


def as_text(cells: pd.Series, cleaned: Callable[[str], str] = clean) -> pd.Series:
    """`cells` as text, `cleaned`, missing where they are; numbers as they are, but whole ones without a fraction.

    >>> as_text(pd.Series([3.0, None])).tolist()
    [3, <NA>]
    """
    if pd.api.types.is_float_dtype(cells.dtype):
        known = cells.dropna()
        return cells.astype("Int64") if len(known) and (known % 1 == 0).all() and known.abs().max() < 2**53 else cells
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells
    if not pd.api.types.is_object_dtype(cells.dtype) and pd.api.types.is_string_dtype(cells.dtype):
        unclean = cells.str.contains(UNCLEAN, na=False)
        if not unclean.any():
            return cells.astype("str")
        return cells.astype("str").mask(unclean, translated(cells[unclean], cleaned))
    known = cells.dropna().astype("object")
    texts = {text: cleaned(text if isinstance(text, str) else str(text)) for text in known.unique()}
    return known.map(texts).reindex(cells.index).astype("str")


def translated(texts: pd.Series, translate: Callable[[str], str | None]) -> pd.Series:
    """`translate` of each of `texts`, called once for each that is different; what is missing stays so."""
    codes, different = pd.factorize(texts)
    results = pd.array([translate(text) for text in different], dtype="str")
    return pd.Series(results.take(codes, allow_fill=True), index=texts.index, name=texts.name)


DECIMAL_COMMA = r"[+-]?\d+,\d+"


def with_points(numbers: pd.Series) -> pd.Series:
    """`numbers`, texts, with points where those of a spreadsheet in German or French have commas: 1,5 is 1.5.

    They stay as they are where one that is no number would be left.
    """
    known = numbers.dropna()
    if known.empty or pd.api.types.is_numeric_dtype(known.dtype) or not known.str.fullmatch(DECIMAL_COMMA).any():
        return numbers
    pointed = known.str.replace(",", ".", regex=False)
    left = pd.to_numeric(pointed[~are_blank(known)], errors="coerce").isna().any()
    return numbers if left else pointed.reindex(numbers.index)


def are_blank(cells: pd.Series) -> pd.Series:
    """Whether each of `cells`, cleaned, stands for a missing value; a missing one and a number do not."""
    texts = as_text(cells)
    if pd.api.types.is_numeric_dtype(texts.dtype):
        return pd.Series(False, index=texts.index)
    return texts.str.lower().isin(list(BLANKS))


def are_among(texts: pd.Series, known: Iterable[str]) -> pd.Series:
    """Whether each of `texts` is one of `known`, which may be a million."""
    found = pc.is_in(pa.array(texts, from_pandas=True), value_set=pa.array(known, pa.large_string()))
    return pd.Series(found.to_numpy(zero_copy_only=False), index=texts.index)


def voice(speaker: str) -> str:
    """What names of one speaker have in common: two that give the same text may be one person.

    Case, accents, separators, leading zeros and letters that look alike do not count.

    >>> voice("Ada_Lovelace") == voice("ada  lovelace"), voice("S01") == voice("s1"), voice("ada") == voice("ida")
    (True, True, False)
    """
    return _plain(speaker).translate(LOOK_ALIKES)


def _plain(speaker: str) -> str:
    """`speaker` in lower case, without accents and leading zeros, with a space for all that is no letter or digit."""
    text = unicodedata.normalize("NFKC", clean(speaker)).casefold()
    text = ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return LEADING_ZEROS.sub("", SEPARATORS.sub(" ", text).strip() or text)


def doubted(speakers: Mapping[str, int]) -> list[str]:
    """`'ada' (3), 'Ada' (2)` of each group of speakers that may be one person; `speakers` are the utterances of each.

    They have one `voice`, or a letter is missing, too many, swapped or another one: inside of names of letters, or
    anywhere where one of the two has few utterances. Digits number people, and names may end in another letter.
    """
    voices: dict[str, list[str]] = {}
    for speaker in speakers:
        voices.setdefault(voice(speaker), []).append(speaker)
    size = {name: sum(speakers[each] for each in names) for name, names in voices.items()}
    spelling = {_plain(names[0]): name for name, names in voices.items()}
    groups = [names for names in voices.values() if len(names) > 1]
    for one, other in _near(spelling):
        if _may_be_one(one, other, size[spelling[one]], size[spelling[other]]):
            groups.append([voices[spelling[one]][0], voices[spelling[other]][0]])
    return [", ".join(f"'{name}' ({speakers[name]:,})" for name in group) for group in groups]


def _near(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of `names` that are equal without a character of either, or without one of one."""
    by_rest: dict[str, list[str]] = {}
    for name in names:
        for rest in {name, *(name[:place] + name[place + 1 :] for place in range(len(name)))}:
            by_rest.setdefault(rest, []).append(name)
    groups = (sorted(near) for near in by_rest.values() if len(near) > 1)
    return sorted({pair for near in groups for pair in itertools.combinations(near, 2)})


def _may_be_one(one: str, other: str, size: int, other_size: int) -> bool:
    """Whether speakers of two plain names, with so many utterances, may be one whose name was mistyped."""
    start = _shared(one, other)
    end = _shared(one[start:][::-1], other[start:][::-1])
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    mistyped = max(len(left), len(right)) == 1 or (len(left) == 2 and left == right[::-1])
    if not mistyped or min(len(one), len(other)) < 2 or any(map(str.isdigit, left + right)):
        return False
    if RARE * min(size, other_size) <= max(size, other_size):
        return True
    inside = len(one) != len(other) or (start > 0 and end > 0)
    return inside and max(len(one), len(other)) >= NAME and not any(map(str.isdigit, one + other))


def _shared(one: str, other: str) -> int:
    """How many characters the beginnings of two texts share."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
