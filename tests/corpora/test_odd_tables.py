"""The tables that people have, in tests/tables: each is read right, or refused with a message that names the cell."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import trees
import yaml
from trees import write

from sercore import corpora
from sercore.commands import cli

TABLES = Path(__file__).parents[1] / "tables"
SAID = ["Go away.", "She left.", "Stop it, now.", "It rained."]
LATIN = ["Für immer.", "Où est-elle?", "Stop it, now.", "It\u2019s raining."]
READ = {
    "tabs.tsv": ({}, SAID, ""),
    "semicolons.csv": ({}, SAID, "comma in a number of arousal: 1,5 2,25"),
    "utf_16.txt": ({}, ["Geh weg für immer.", "Привет.", "停下来。", "It rained."], ""),
    "latin_1.csv": ({}, LATIN, "text that is not UTF-8, taken as Windows-1252 (Latin-1): Für"),
    "latin_1_with_mark.csv": ({}, LATIN, "text that is not UTF-8, taken as Windows-1252 (Latin-1): Für"),
    "spaces.csv": ({}, SAID, ""),
    "index.csv": ({}, SAID, "column that numbers the rows, or is empty: Unnamed: 0 Unnamed: 6"),
    "unknown_columns.csv": ({"groups": ["age"]}, SAID, "column that is none of ours: language notes"),
    "no_utterance.csv": ({}, SAID, "no column 'utterance': a1 a2 b1 b2"),
    "folder.csv": ({"folder": "wav"}, SAID, ""),
    "windows.csv": (
        {},
        SAID,
        "file that is spelt otherwise on the disk: "
        "wav\\a1.wav (wav/a1.wav) wav\\a2 (wav/a2.wav) wav/b1.WAV (wav/b1.wav)",
    ),
    "nouns.csv": ({}, SAID, "emotion in other words: Anger = angry SADNESS = sad ANG = angry"),
    "capitals.csv": ({}, SAID, "gender in other words: F = female woman = female Male = male m = male"),
    "raw_quotes.tsv": (
        {},
        ['"Go", she said.', "She left.", '"Stop', 'It rained."'],
        "quotes that are part of the text: line 2",
    ),
}
"""Name -> options of the reader, transcripts, and what is reported."""
REFUSED = {
    "other_names.csv": r"no column file, .*; 'wav_path' may be it: .* as \{wav_path: file\}",
    "sentences.csv": r"no column file, .*; 'Audio' may be it",
    "misspelt.csv": r"column 'emotoin' is nearly called 'emotion', which is absent",
    "shifted.csv": r"shifted\.csv, line 4: 4 cells, but 5 columns .* a comma is missing",
    "unknown_label.csv": r"1 labels of emotion are not known: 'hapy' \(1 times, first in line 3\); did you mean",
    "two_encodings.csv": r"byte 0xf9 in line 3 after '.*anna,sad,O'\); save it",
}
"""Name -> the error."""


@pytest.fixture
def home(tmp_path):
    """A folder with the audio of all tables, and a function that copies a table there."""
    for name in ("a1", "a2", "b1", "b2"):
        write(tmp_path / "wav" / f"{name}.wav", trees.wav(samples=8000))
    return lambda name: Path(shutil.copy(TABLES / name, tmp_path))


def test_every_table_is_tried():
    assert {path.name for path in TABLES.iterdir()} == {*READ, *REFUSED}
    assert len(READ) + len(REFUSED) == 20


@pytest.mark.parametrize("name", READ)
def test_an_odd_table_is_read_right(home, name):
    options, said, reported = READ[name]
    corpus = corpora.read("table", home(name), **options)
    rows = corpus.utterances
    assert rows["utterance"].tolist() == ["a1", "a2", "b1", "b2"]
    assert rows["file"].tolist() == [f"wav/{name}.wav" for name in rows["utterance"]]
    assert rows["speaker"].tolist() == ["anna", "anna", "ben", "ben"]
    assert rows["emotion"].tolist() == ["angry", "sad", "angry", "sad"]
    assert rows["transcript"].tolist() == said
    findings = [f"{finding.kind}: {' '.join(finding.examples)}" for finding in corpus.findings]
    assert reported in findings if reported else not findings


@pytest.mark.parametrize("name", REFUSED)
def test_an_odd_table_is_refused_with_its_cell(home, name):
    with pytest.raises(ValueError, match=REFUSED[name]):
        corpora.read("table", home(name))


def test_numbers_with_commas_and_groups_are_read(home):
    assert corpora.read("table", home("semicolons.csv")).utterances["arousal"].tolist() == [1.5, 4, 2.25, 3]
    rows = corpora.read("table", home("unknown_columns.csv"), groups=["age"]).utterances
    assert rows["group_age"].tolist() == ["20s", "20s", "30s", "30s"]
    with pytest.raises(ValueError, match="no column 'aeg' for the option groups; did you mean 'age'"):
        corpora.read("table", home("unknown_columns.csv"), groups=["aeg"])


def test_absolute_paths_are_read_and_reported(home):
    path = home("tabs.tsv")
    path.write_text(path.read_text().replace("wav/a1", f"{path.parent}/wav/a1"))
    corpus = corpora.read("table", path)
    assert corpus.utterances["file"].tolist()[:2] == ["wav/a1.wav", "wav/a2.wav"]
    (finding,) = corpus.findings
    assert (finding.kind, finding.examples) == ("absolute path", (f"{path.parent}/wav/a1.wav",))
    path.write_text(path.read_text().replace(f"{path.parent}/wav/a1", "C:\\data\\a1"))
    with pytest.raises(ValueError, match=r"C:\\data\\a1\.wav; .* absolute paths of another machine"):
        corpora.read("table", path)


def understand(path, *more) -> dict:
    """What `sercore table --from` writes of the corpus."""
    parameters = path.with_suffix(".yaml")
    assert cli.main(["table", "--from", str(path), "--parameters", str(parameters), *more]) == 0
    return yaml.safe_load(parameters.read_text())["corpora"][path.stem]


def test_the_columns_of_a_table_are_proposed_and_written_down(home, capsys):
    path = home("other_names.csv")
    entry = understand(path)
    names = {"utterance": "file_id", "file": "wav_path", "speaker": "Spk", "emotion": "label"}
    names |= {"transcript": "sentence", "gender": "sex", "partition": "split"}
    assert entry["columns"] == {theirs: ours for ours, theirs in names.items()}
    printed = capsys.readouterr().out
    assert "emotion       label: 2 different, angry, sad" in printed
    rows = corpora.read("mine", path, **{name: value for name, value in entry.items() if name != "root"}).utterances
    assert rows["partition"].tolist() == ["train", "development", "train", "test"]
    assert rows["transcript"].tolist() == SAID


def test_a_column_of_sentences_is_no_id_and_one_of_milliseconds_no_duration(home, capsys):
    entry = understand(home("sentences.csv"))
    assert entry["columns"] == {
        **{"Audio": "file", "Speaker": "speaker", "Utterance": "transcript", "Emotion": "emotion"},
        "seconds": None,
    }
    assert "(kept aside)  seconds: 1 different, 1200" in capsys.readouterr().out


def test_the_folder_the_scale_and_the_groups_are_found(home, tmp_path, capsys):
    path = home("folder.csv")
    rows = pd.read_csv(path).assign(activation=[1, 6, 3, 2], age=["20", "20", "30", "30"], W="x")
    rows["emotion"] = ["W", "T", "W", "T"]
    rows.to_csv(path, index=False)
    command = ["table", "--from", str(path), "--emotions", "W=angry", "T=sad"]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    assert "folder: wav" in printed
    assert "(group)       age: 2 different, 20, 30" in printed
    assert "groups:\n    - age" in printed
    assert "scale:\n    - 1\n    - 7" in printed
    assert cli.main(command[:3]) == 2
    assert "emotions: {W: angry} (--emotions W=angry)" in capsys.readouterr().err
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / "t.csv")
    entry = understand(moved, str(tmp_path / "wav"), "--emotions", "W=angry", "T=sad")
    assert (entry["folder"], entry["emotions"]) == ("../wav", {"W": "angry", "T": "sad"})


def test_what_goes_with_names_only_is_refused(home, capsys):
    assert cli.main(["table", "--from", str(home("tabs.tsv")), "--output", "x.csv"]) == 2
    assert "--from leaves the table as it is" in capsys.readouterr().err
    assert cli.main(["table", "--pattern", "{speaker}_*.wav"]) == 2
    assert "give the folder, before --pattern" in capsys.readouterr().err
