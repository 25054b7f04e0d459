"""A corpus in another language than the default encoder and recogniser know is noticed, and said where it matters."""

import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from trees import write

from sercore import corpora
from sercore.commands import cli
from sercore.corpora import languages
from sercore.study import check, config

GERMAN = ("Der Lappen liegt auf dem Eisschrank.", "Heute abend könnte ich es ihm sagen.", "Das will sie am Mittwoch.")
DUTCH = """Ik kan niet geloven dat je dat hebt gedaan. We gaan morgenmiddag naar het strand. Wat is er aan de hand met
je moeder? Hij heeft het boek gisteren op tafel gelegd. Waarom heb je mij dat nooit eerder verteld?"""
ENGLISH = """I cannot believe that you did that. We go to the beach tomorrow. What is the matter with your mother? He
put the book on the table yesterday. Why have you never told me that before, my naïve friend?"""


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (GERMAN, "33 % of the different transcripts have letters that English does not have, as ö"),
        (["Я не верю.", "It rained."], "50 % of the different transcripts have letters"),
        (["我不敢相信。"], "100 % of the different transcripts"),
        (DUTCH.split(". "), "of the words are among English's most common ones"),
        (ENGLISH.replace("naïve", "good").split(". "), ""),
        (["yes", "no", "stop", "seven", ""], ""),
        ([None, np.nan], ""),
    ],
)
def test_texts_that_are_not_english_are_noticed(texts, said):
    found = languages.not_english(texts)
    assert said in found if said else not found


@pytest.mark.parametrize("name", ["iemocap", "msp-podcast"])
def test_the_embedded_corpora_are_english(embedded, name):
    options = dict(embedded[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    assert corpus.utterances["transcript"].notna().any()
    assert not languages.not_english(corpus.utterances["transcript"])


@pytest.fixture
def german(tmp_path):
    """The parameters file of a corpus of German sentences."""
    rows = [(f"{speaker}{take}", speaker, GERMAN[take % 3]) for speaker in ("anna", "ben", "cem") for take in range(4)]
    for name, _, _ in rows:
        write(tmp_path / f"{name}.wav", trees.wav(samples=8000))
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "transcript"])
    table = table.assign(file=table["utterance"] + ".wav", emotion=["angry", "sad"] * 6)
    table.to_csv(tmp_path / "utterances.csv", index=False)
    block = {
        "grid": {"model": ["cnn14"], "corpus": ["mine"], "seed": [0]},
        "fixed": {"folds": [], "classes": {"angry": ["angry"], "sad": ["sad"]}},
    }
    content = {
        "study": "german",
        "corpora": {"mine": {"reader": "table", "root": str(tmp_path)}},
        "outputs": str(tmp_path / "outputs"),
        "sections": {"categories": {"notebook": "notebooks/1_categories.ipynb", "blocks": [block]}},
    }

    def write_study(**changes):
        block["grid"] |= {name: [value] for name, value in changes.items() if name == "model"}
        block["fixed"] |= {name: value for name, value in changes.items() if name != "model"}
        (tmp_path / "german.yaml").write_text(yaml.safe_dump(content))
        return config.load(tmp_path / "german.yaml")

    return write_study


def test_a_run_that_reads_another_language_with_an_english_encoder_is_warned_of(german):
    study = german(model="mfcnn14", text={"encoder": "google-bert/bert-base-uncased"})
    (line,) = check.languages(study, study.runs)
    assert line.startswith(
        "corpus 'mine' seems not to be in English, which text encoder 'google-bert/bert-base-uncased'"
    )
    assert "text: {encoder: bert-base-multilingual-cased}" in line
    for quiet in (
        {"text": {"encoder": "bert-base-multilingual-cased"}},
        {"text": {"transcripts": "empty"}},
        {"model": "cnn14", "text": {}},
    ):
        study = german(**quiet)
        assert not check.languages(study, study.runs)


def test_a_corpus_that_cannot_be_read_has_no_language(german, tmp_path):
    study = german(model="mfcnn14")
    assert check.languages(study, study.runs)
    (tmp_path / "anna0.wav").unlink()
    assert not check.languages(study, study.runs)


def test_check_says_that_the_words_are_not_english(german, tmp_path, capsys):
    german()
    assert cli.main(["check", "table", str(tmp_path)]) == 0
    assert "WARNING: the words seem not to be English: 33 % of the different transcripts" in capsys.readouterr().out


def test_transcribe_says_it_where_speech_is_recognised_as_english(german, tmp_path, capsys):
    german()
    engine = str(tmp_path / "no-engine")
    assert cli.main(["transcribe", "table", str(tmp_path), "--model", engine, "--output", str(tmp_path / "t.csv")]) == 2
    assert "WARNING: speech is recognised as English, and the corpus's own" in capsys.readouterr().out


@pytest.mark.long
def test_run_says_it_before_anything_is_trained(german, tmp_path, capsys, monkeypatch):
    german(model="mfcnn14")
    monkeypatch.setattr("sercore.commands.run.execute", lambda *_, **__: iter(()))
    cli.main(["run", str(tmp_path / "german.yaml"), "--workers", "1"])
    assert "WARNING: corpus 'mine' seems not to be in English" in capsys.readouterr().out
