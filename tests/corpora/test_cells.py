"""Cells are read as they are meant: no column shifts, no spelling makes a second speaker, no word a person."""

import codecs

import pandas as pd
import pytest
import trees
from trees import write

from sercore import corpora
from sercore.corpora import cells, corpus, splits, transcripts


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (" ada\u00a0", "ada"),
        ("Ada \t Lovelace", "Ada Lovelace"),
        ("cafe\u0301", "caf\u00e9"),
        ("\ufeffada\u200b", "ada"),
        ("it\u0092s", "it\u2019s"),  # Windows-1252 that was read as Latin-1
    ],
)
def test_text_is_composed_and_without_stray_or_unseen_space(written, expected):
    assert cells.clean(written) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2,\n", r"t\.csv, line 2: 3 cells, but 2 columns \(a, b\); a comma is too many"),
        (b"a,b\n1,2\n\n1,well, yes\n", "line 4: 3 cells, but 2 columns"),
        (b"a,b\n1\n", "line 2: 1 cells, but 2 columns .* a comma is missing"),
        (b'a,b\n1,"no\n', r"t\.csv is not a CSV table: line 2: unexpected end of data"),
        (b'a,b\n1,"no" way\n', "line 2: ',' expected after"),
        (b"a;b\n1;2;3\n", "line 2: 3 cells, but 2 columns .* a semicolon is too many"),
        (b"a\tb\n1\n", "line 2: 1 cells, but 2 columns .* a tab is missing"),
        (b'a\tb\n"no" way\t2\n', "line 2: '\t' expected after"),
        (b"a, a\n1,2\n", "two columns are called 'a'"),
        (b"", "it is empty; expected the names of its columns"),
        ("a,b\n1,2".encode("utf-16")[:-1], r"t\.csv: expected text in UTF-16, found another encoding"),
        ("a,b\n1,2".encode("utf-16-le"), r"t\.csv: zero bytes in its first line; .* without a byte order mark"),
        ("a,b\n1,très".encode("latin-1"), r"encoding \(byte 0xe8 in line 2 after '1,tr'\); save it as UTF-8"),
    ],
)
def test_a_table_whose_columns_would_shift_is_refused_with_its_line(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        cells.read_csv(write(tmp_path / "t.csv", content))


def test_cells_are_text_and_no_word_is_missing(tmp_path):
    path = write(tmp_path / "t.csv", '\ufeff utterance ,,b\r\n01, NA ,\r\n\r\n1e3,"x, y",None\r\n'.encode())
    table = cells.read_csv(path)
    assert table.to_dict("list") == {"utterance": ["01", "1e3"], "Unnamed: 1": ["NA", "x, y"], "b": ["", "None"]}
    assert cells.read_table(path)["b"].isna().tolist() == [True, False]
    assert cells.read_csv(write(tmp_path / "head.csv", "a,b\n")).columns.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "content",
    [
        b"a;b\n1,5;x, y\n",
        b"a\tb\n1,5\tx, y\n",
        b"a|b\n1,5|x, y\n",
        b"sep=;\r\na;b\r\n1,5;x, y\r\n",
        "a\tb\n1,5\tx, y\n".encode("utf-16"),
        codecs.BOM_UTF16_BE + "a;b\r\n1,5;x, y\r\n".encode("utf-16-be"),
    ],
)
def test_cells_may_be_separated_otherwise_and_text_be_in_utf_16(tmp_path, content):
    assert cells.read_csv(write(tmp_path / "t.csv", content)).to_dict("list") == {"a": ["1,5"], "b": ["x, y"]}


def test_what_is_guessed_is_said(tmp_path):
    latin = cells.read_sheet(write(tmp_path / "t.csv", b"\xef\xbb\xbfa,b\n\n1,Fran\xe7oise goes\n"))
    assert latin.cells.to_dict("list") == {"a": ["1"], "b": ["Fran\xe7oise goes"]}
    assert latin.assumed == {cells.WINDOWS: "Fran\xe7oise"}
    assert latin.place(0) == "line 3"
    quoted = cells.read_sheet(write(tmp_path / "t.tsv", b'a\tb\n1\t"No", he said\n'))
    assert quoted.cells["b"].tolist() == ['"No", he said']
    assert list(quoted.assumed) == [cells.RAW_QUOTES]
    with pytest.raises(ValueError, match=r"byte 0xe7 in line 2 after 'é,Fran'"):
        cells.read_sheet(write(tmp_path / "mixed.csv", b"a,b\n\xc3\xa9,Fran\xe7oise\n"))
    with pytest.raises(ValueError, match=r"byte 0x81 in line 2"):
        cells.read_sheet(write(tmp_path / "odd.csv", b"a,b\n1,\x81\n"))
    with pytest.raises(ValueError, match="line 2: '\t' expected after"):
        cells.read_sheet(write(tmp_path / "both.tsv", b'a\tb\n1\t"No", he\tsaid\n'))


def test_a_parquet_table_is_read_by_the_same_rule(tmp_path):
    table = pd.DataFrame({"speaker": [" ada", ""], "transcript": ["", None], "who": [3.0, None], "x": [0.5, 1.0]})
    table["kind"] = pd.Categorical(["sad ", "sad "])
    table.index = pd.Index(["u1", "u2"], name="utterance")
    table.to_parquet(tmp_path / "t.parquet")
    read = cells.read_table(tmp_path / "t.parquet")
    assert read["utterance"].tolist() == ["u1", "u2"]
    assert read["speaker"].isna().tolist() == [False, True]
    assert (read["speaker"][0], read["kind"][0], read["transcript"][0]) == ("ada", "sad", "")
    assert read["who"].astype("str")[0] == "3"
    assert read["x"].tolist() == [0.5, 1.0]
    with pytest.raises(ValueError, match=r"broken\.parquet is not a whole Parquet table"):
        cells.read_table(write(tmp_path / "broken.parquet", b"nothing"))
    with pytest.raises(FileNotFoundError):
        cells.read_table(tmp_path / "absent.parquet")


@pytest.mark.parametrize(
    "names",
    [
        ("ada", "Ada"),
        ("Ada Lovelace", "ada_lovelace"),
        ("Ida", "ida"),
        ("S01", "s1"),
        ("Jos\u00e9", "Jose"),
        ("Dov", "D\u043ev"),  # a Cyrillic o
        ("SO", "S0"),
        ("anna", "ana"),
        ("Marta", "Matra"),
        ("Maria", "Marla"),
    ],
)
def test_speakers_whose_names_are_nearly_the_same_are_doubted(names):
    assert len(cells.doubted(dict.fromkeys(names, 8))) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("a", "b"),
        ("OAF", "YAF"),
        ("Ses01F", "Ses01M"),
        ("Ses01F", "Ses02F"),
        ("s1", "s10"),
        ("spkA", "spkB"),
        ("3", "8"),
    ],
)
def test_speakers_whose_names_are_numbered_are_not_doubted(names):
    assert not cells.doubted(dict.fromkeys(names, 8))


def test_a_speaker_of_few_utterances_a_letter_from_another_is_doubted():
    assert cells.doubted({"OA": 1, "OAF": 15, "YAF": 16}) == ["'OA' (1), 'OAF' (15)"]


def table_of(folder, speakers, **columns) -> str:
    """A table of one utterance for each of `speakers`."""
    for number in range(len(speakers)):
        write(folder / f"{number}.wav", trees.wav())
    rows = pd.DataFrame({"file": [f"{n}.wav" for n in range(len(speakers))], "speaker": speakers, **columns})
    rows.rename_axis("utterance").reset_index().to_csv(folder / "utterances.csv", index=False)
    return str(folder)


def kinds(read: corpora.Corpus) -> dict[str, tuple[str, ...]]:
    return {finding.kind: finding.examples for finding in read.findings}


def test_stray_spaces_make_no_speaker_and_other_spellings_are_reported(tmp_path):
    read = corpora.read("table", table_of(tmp_path, ["ada", "ada ", "\u00a0ada", "Ada", "ben"]))
    assert read.utterances["speaker"].tolist() == ["ada", "ada", "ada", "Ada", "ben"]
    assert kinds(read) == {"speakers that may be one person": ("'Ada' (1), 'ada' (3)",)}


def test_unknown_speakers_are_unknown_in_whatever_words(tmp_path):
    read = corpora.read("table", table_of(tmp_path, ["ada", "nan", "NA", "None", "Unknown", "-", ""]))
    assert read.utterances["speaker"].dropna().tolist() == ["ada"]
    assert len(kinds(read)["cells that say nan, NA or none"]) == 5


def test_what_is_said_is_no_missing_value(tmp_path):
    read = corpora.read("table", table_of(tmp_path, ["ada", "ben"], transcript=["None", "fine"]))
    assert read.utterances["transcript"].tolist() == ["None", "fine"]
    assert kinds(read) == {"transcript that says nan, NA or none": ("0",)}


def test_a_speaker_of_two_partitions_is_reported(tmp_path):
    root = table_of(tmp_path, ["ada", "Ada", "ben"], partition=["train", "test", "dev"])
    read = corpora.read("table", root)
    assert kinds(read)["speaker in more than one partition"] == ("ada", "Ada")
    with pytest.raises(ValueError, match=r"2 speakers are in more than one partition, Ada, ada.*\{partition: null\}"):
        splits.official(read.utterances)


def test_one_voice_is_never_trained_and_tested_on(tmp_path):
    rows = corpora.read("table", table_of(tmp_path, ["ada", "Ada", "ben", "cia", "dov", "Dov"])).utterances
    speakers = rows.set_index("utterance")["speaker"].map(str.lower)
    for split in [*splits.leave_one_speaker_out(rows), splits.by_speaker(rows)]:
        parts = [set(speakers[list(ids)]) for ids in (split.train, split.development, split.test)]
        assert all(parts)
        assert sum(map(len, parts)) == len(set.union(*parts))
    with pytest.raises(ValueError, match="2 known speakers"):
        splits.leave_one_speaker_out(rows[rows["speaker"].str.lower().isin(["ada", "dov"])])


def test_files_of_decomposed_names_are_found(tmp_path):
    write(tmp_path / "cafe\u0301.wav", trees.wav())
    write(tmp_path / "utterances.csv", "utterance,file,speaker\nu,caf\u00e9.wav,ada\n")
    assert corpora.read("table", tmp_path).utterances["file"].tolist() == ["cafe\u0301.wav"]


def test_a_transcripts_file_of_other_ids_is_refused_with_both(tmp_path):
    ids = ["u1", "u2"]
    path = write(tmp_path / "said.csv", "utterance,transcript\nu1.wav,yes\nU2.wav,no\n")
    with pytest.raises(ValueError, match=r"none of its 2 utterances \(u1\.wav, U2\.wav\) is one of the corpus's 2"):
        transcripts.read_for(path, ids)
    with pytest.raises(ValueError, match=r"'u1\.wav' is perhaps 'u1'"):
        transcripts.read_for(path, ids)
    with pytest.raises(ValueError, match=r"none of its 0 utterances \(it is empty"):
        transcripts.read_for(write(tmp_path / "empty.csv", "utterance,transcript\n"), ids)


def test_a_transcripts_file_of_some_ids_is_reported(tmp_path):
    root = table_of(tmp_path, ["ada", "ben", "cia"])
    said = write(tmp_path / "said.csv", "utterance,transcript\n0,yes\n1.wav,no\n2 ,fine\n")
    read = corpora.read("table", root, transcripts=said)
    assert read.utterances["transcript"].tolist()[::2] == ["yes", "fine"]
    assert kinds(read) == {
        "utterance that said.csv lacks": ("1",),
        "transcript in said.csv of no utterance": ("1.wav",),
    }


@pytest.mark.parametrize(
    ("column", "written", "expected"),
    [
        ("emotion", ["Angry", "anger", "ANG"], ["angry"] * 3),
        ("gender", ["F", "woman", "unknown"], ["female", "female", None]),
        ("partition", ["dev", "val", "Train"], ["development", "development", "train"]),
        ("style", ["Script", "improvisation", "n/a"], ["scripted", "improvised", None]),
    ],
)
def test_other_words_for_a_name_are_understood_in_a_table(tmp_path, column, written, expected):
    read = corpora.read("table", table_of(tmp_path, ["ada", "ben", "cia"], **{column: written}))
    assert [None if pd.isna(name) else name for name in read.utterances[column]] == expected


def test_labels_that_are_named_and_never_there_are_reported(tmp_path):
    root = table_of(tmp_path, ["ada", "ben"], emotion=["W", "none"])
    read = corpora.read("table", root, emotions={"W": "angry", "none": "neutral", "T": "sad"})
    assert read.utterances["emotion"].tolist() == ["angry", "neutral"]
    assert kinds(read) == {"label of emotion that is named and never there": ("T",)}
    with pytest.raises(ValueError, match="a name: expected text, found True"):
        corpora.read("table", root, emotions={True: "angry"})


def test_whole_numbers_name_speakers_without_a_fraction():
    rows, _ = corpus.tidy(pd.DataFrame({"utterance": ["a", "b"], "speaker": [3.0, None]}))
    assert rows["speaker"].astype("str").tolist()[0] == "3"


def test_only_unclean_texts_are_cleaned_and_what_is_missing_stays():
    texts = pd.Series(["ada", None, " Ada ", "e\u0301", "a  b", "ada"], index=[5, 3, 1, 0, 2, 4], dtype="str")
    cleaned = cells.as_text(texts)
    assert cleaned.dropna().to_dict() == {5: "ada", 1: "Ada", 0: "\u00e9", 2: "a b", 4: "ada"}
    assert cells.are_among(texts, ("ada", "a  b")).tolist() == [True, False, False, False, True, True]
    assert cells.are_blank(pd.Series(["NA", "\u00a0n/a ", "ada", None, ""])).tolist() == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert cells.translated(texts, {"ada": "x"}.get).dropna().to_dict() == {5: "x", 4: "x"}
