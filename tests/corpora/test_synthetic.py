"""The miniature corpora have real layouts with their traps, repeatable speech and a known ground truth."""

import dataclasses
import filecmp
import importlib.util
import os

import numpy as np
import pandas as pd
import pytest
import soundfile

from sercore import corpora, schema
from sercore.corpora import splits, synthetic, wording
from sercore.corpora.synthetic import espeak, iemocap, msp_podcast, sentences
from sercore.corpora.synthetic.emotions import Intent, Speaker, agree, voice

SIZE = 0.15


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both corpora, small: 126 turns and 167 segments."""
    folder = tmp_path_factory.mktemp("synthetic")
    for name in synthetic.LAYOUTS:
        assert synthetic.speak(name, folder / name, size=SIZE)
    return folder


def findings(corpus: corpora.Corpus) -> dict[str, int]:
    return {finding.kind: finding.count for finding in corpus.findings}


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def correlation(left, right, given=()) -> float:
    """Pearson's, of what is left of either when `given` is known."""
    known = np.column_stack([np.ones(len(left)), *given])
    left, right = (np.asarray(x, dtype=float) for x in (left, right))
    left, right = (x - known @ np.linalg.lstsq(known, x)[0] for x in (left, right))
    return float(np.corrcoef(left, right)[0, 1])


def test_the_miniature_of_iemocap_is_read_with_its_defects(folder):
    corpus = corpora.read("iemocap", folder / "iemocap")
    table = corpus.utterances
    assert corpus.simulated
    assert (len(table), table["speaker"].nunique(), table["dialog"].nunique()) == (42 * 3, 10, 42)
    assert table["transcript"].notna().all()
    assert table.groupby("dialog")["speaker"].nunique().eq(2).all()
    assert {"Ses03M_impro05a", "Ses03M_impro05b", "Ses05M_script01_1b"} < set(table["dialog"])
    assert not {"Ses03M_impro05", "Ses03M_impro05_1"} & set(table["dialog"])
    rows = table.set_index("utterance")
    assert rows.loc["Ses05M_script01_1b_F000", "speaker"] == "Ses05F"
    assert rows.loc["Ses03M_impro07_M000", "valence"] == 5.5
    assert rows.loc["Ses01M_script03_1_F000", "dominance"] == 0.5
    assert table["emotion"].isna().any()
    counts = findings(corpus)
    assert counts["hidden file"] == 3
    assert counts["rating outside the scale"] == 2
    assert counts["rater who left out a rating"] == 1
    assert counts["transcribed turn that was never labelled (XX)"] == 21
    assert counts["line in a transcript that names no turn"] == 5
    assert counts["transcript with bracketed tags"] > 0


def test_scripts_recur_in_every_session_and_improvised_sentences_do_not(folder):
    table = corpora.read("iemocap", folder / "iemocap").utterances
    shared = table.assign(session=table["speaker"].str[:5]).groupby("transcript")["session"].nunique()
    style = table.groupby("transcript")["style"].first()
    assert (shared[style == "improvised"] == 1).all()
    assert (shared[style == "scripted"] == 5).mean() > 0.7  # all but the lines that only Session5 has
    assert len(splits.leave_one_speaker_out(table)) == 10


def test_the_miniature_of_msp_podcast_is_read_with_its_defects(folder):
    corpus = corpora.read("msp-podcast", folder / "msp-podcast")
    table = corpus.utterances
    assert corpus.simulated
    counts = table["partition"].value_counts(dropna=False).to_dict()
    assert (counts["train"], counts["development"], counts["test"]) == (75 - 1, 36, 54)
    speakers = table.groupby("partition")["speaker"].nunique()
    assert (speakers["development"], speakers["test"]) == (16, 24)
    assert table["transcript"].isna().all()
    assert table["utterance"].str.fullmatch(r"MSP-PODCAST_\d{4}_\d{4}_\d{4}").mean() == pytest.approx(0.24, abs=0.12)
    assert table["seconds"].between(1.0, 4.0).all()
    counts = findings(corpus)
    assert counts["row without wav"] == 1
    assert counts["wav of Test3 without row"] == 1
    assert counts["audio that is not 16 kHz mono"] == 1
    assert counts["turn of Test2"] == 2
    assert counts["folder of previous releases"] == 1
    assert counts["hidden file"] == 1
    assert counts["unknown speaker"] == table["speaker"].isna().sum() > 0
    split = splits.official(table)
    shared = splits.overlap(split, table)
    assert not shared["speakers"].any()
    assert not shared["dialogs"].any()
    assert (folder / "msp-podcast" / "SIMULATED.txt").read_text().startswith("SIMULATED: nobody said any of this.")


def test_no_file_is_silent_clipped_or_odd_in_length(folder):
    for name in synthetic.LAYOUTS:
        corpus = corpora.read(name, folder / name)
        for file in corpus.utterances["file"]:
            waveform, rate = soundfile.read(corpus.root / file)
            level = 20 * np.log10(np.sqrt((waveform**2).mean()))
            assert -48 < level < -10, file
            assert np.abs(waveform).max() < 0.99, file
            assert 1.0 < len(waveform) / rate < 4.0, file


def levels(corpus: corpora.Corpus) -> list[float]:
    waveforms = [soundfile.read(corpus.root / file)[0] for file in corpus.utterances["file"]]
    return [10 * np.log10((waveform**2).mean()) for waveform in waveforms]


def valence_of_words(text: str) -> float:
    """The level of the longest phrase of the lexicon that occurs in `text`."""
    levels_of = {
        phrase: float(level)
        for kind in ("events", "qualities")
        for level, pools in sentences.lexicon()[kind].items()
        for phrases in pools.values()
        for phrase in phrases
        if phrase in text
    }
    return levels_of[max(levels_of, key=len)]


def test_the_voice_shows_arousal_and_the_words_show_valence(folder):
    corpus = corpora.read("msp-podcast", folder / "msp-podcast")
    table = corpus.utterances.set_index("utterance")
    reference = {turn.utterance: turn.text for turn in msp_podcast.script(0, SIZE, None).turns}
    loudness = levels(corpus)
    words = [valence_of_words(reference[utterance].replace("were ", "was ")) for utterance in table.index]
    assert correlation(loudness, table["arousal"]) > 0.6
    assert abs(correlation(loudness, table["valence"], [table["arousal"], table["dominance"]])) < 0.3
    assert correlation(words, table["valence"]) > 0.8
    assert abs(correlation(words, table["arousal"], [table["valence"]])) < 0.3


def test_the_voice_does_not_depend_on_the_valence():
    speaker = Speaker(name="someone", gender="male", voice="en+rob")
    pleasant, unpleasant = (
        voice(Intent(arousal=0.5, valence=valence, dominance=0.2), speaker, np.random.default_rng(0))
        for valence in (-1.0, 1.0)
    )
    assert pleasant == unpleasant


def test_the_four_classes_are_all_common():
    for layout in synthetic.LAYOUTS.values():
        named = pd.Series([agree(turn.named) for turn in layout.script(0, 1.0, None).turns], dtype="object")
        classes = schema.map_emotions(named, schema.FOUR_CLASSES)
        assert classes.notna().mean() == pytest.approx(0.82, abs=0.06)
        assert classes.value_counts(normalize=True).between(0.17, 0.36).all()


def test_msp_podcasts_test_holds_words_that_training_never_had():
    segments = msp_podcast.script(0, 1.0, None).segments
    words = {
        split: [s.turn.text.lower().strip(".").split() for s in segments if s.split == split]
        for split in ("Train", "Test1")
    }
    known = {word for sentence in words["Train"] for word in sentence}
    assert np.mean([any(word not in known for word in sentence) for sentence in words["Test1"]]) > 0.5
    sizes = pd.Series([s.split for s in segments]).value_counts().to_dict()
    assert sizes == msp_podcast.SEGMENTS


def test_no_voice_is_in_two_partitions_or_both_corpora():
    variants = {split: {name.split("+")[1] for name in voices} for split, voices in msp_podcast.VOICES.items()}
    del variants["Test2"]  # which is in no partition
    variants["iemocap"] = {name.split("+")[1] for voices in iemocap.VOICES.values() for name in voices}
    together = [variant for names in variants.values() for variant in names]
    assert len(together) == len(set(together))


def test_enough_speakers_choose_the_epoch_and_judge_it():
    speakers = {}
    for segment in msp_podcast.script(0, 1.0, None).segments:
        speakers.setdefault(segment.split, []).append((segment.speaker, segment.gender))
    assert len(set(speakers["Validation"])) >= 16
    assert len(set(speakers["Test1"])) >= 24
    for split in ("Validation", "Test1"):
        turns = pd.Series([name for name, _ in speakers[split]]).value_counts()
        assert turns.min() == turns.max() == 15, "shared out evenly"
        share = np.mean([gender == "Female" for _, gender in set(speakers[split])])
        assert 0.25 <= share <= 0.5
        assert len(set(msp_podcast.VOICES[split])) == len(msp_podcast.VOICES[split])


@pytest.mark.long
def test_a_seed_gives_the_same_bytes_whatever_the_number_of_processes(tmp_path):
    for copy, seed, processes in (("first", 3, 1), ("second", 3, 3), ("other", 4, 2)):
        synthetic.speak("msp-podcast", tmp_path / copy, seed=seed, size=0.01, processes=processes)
    files = tree(tmp_path / "first")
    assert files == tree(tmp_path / "second")
    assert filecmp.cmpfiles(tmp_path / "first", tmp_path / "second", files, shallow=False) == (files, [], [])
    assert files != tree(tmp_path / "other")


@pytest.mark.long
@pytest.mark.parametrize("layout", synthetic.LAYOUTS.values(), ids=synthetic.LAYOUTS)
def test_an_utterance_sounds_the_same_whatever_was_synthesised_before_it(layout, tmp_path):
    requests = layout.script(0, 0.01, None).requests[::5]
    for order, ordered in (("forth", requests), ("back", requests[::-1]), ("alone", requests[3:4])):
        espeak.speak(ordered, tmp_path / order, 1, None)
    files = [request.file for request in requests]
    assert filecmp.cmpfiles(tmp_path / "forth", tmp_path / "back", files, shallow=False) == (files, [], [])
    assert filecmp.cmp(tmp_path / "forth" / files[3], tmp_path / "alone" / files[3], shallow=False)


def test_another_seed_gives_other_sentences():
    scripts = [iemocap.script(seed, 0.01, None) for seed in (0, 1)]
    files = [{request.file: request.text for request in script.requests} for script in scripts]
    same = [file for file in files[0] if files[0][file] == files[1].get(file)]
    assert len(same) < 0.05 * len(files[0])


def test_a_corpus_of_the_same_settings_is_kept(folder):
    before = {file: (folder / "iemocap" / file).stat().st_mtime_ns for file in tree(folder / "iemocap")}
    calls = []
    assert not synthetic.speak("iemocap", folder / "iemocap", size=SIZE, progress=lambda *done: calls.append(done))
    assert before == {file: (folder / "iemocap" / file).stat().st_mtime_ns for file in tree(folder / "iemocap")}
    assert calls == []


def test_nothing_is_written_over(folder, tmp_path):
    with pytest.raises(FileExistsError, match=r"was made with other settings.*remove it or give another folder"):
        synthetic.speak("iemocap", folder / "iemocap", seed=7, size=SIZE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("draft")
    with pytest.raises(FileExistsError, match=r"holds something else, thesis\.txt"):
        synthetic.speak("iemocap", tmp_path / "mine", size=SIZE)
    with pytest.raises(FileExistsError, match="is a file"):
        synthetic.speak("iemocap", tmp_path / "mine" / "thesis.txt", size=SIZE)
    assert tree(tmp_path) == ["mine/thesis.txt"]


def test_an_interrupted_run_leaves_no_half_corpus(tmp_path):
    def interrupt(done: int, total: int) -> None:
        if done == 5:
            assert total > 5
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthetic.speak("msp-podcast", tmp_path / "corpus", size=0.01, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_cleared_away(tmp_path):
    gone, alive = tmp_path / f".corpus.{2**22 + 1}-00.part", tmp_path / f".corpus.{os.getpid()}-00.part"
    for left in (gone, alive):
        left.mkdir()
    synthetic.speak("msp-podcast", tmp_path / "corpus", size=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == [alive.name, "corpus"]


def test_the_error_of_a_failing_synthesiser_names_the_utterance(tmp_path):
    request = msp_podcast.script(0, 0.01, None).requests[0]
    with pytest.raises(
        RuntimeError, match=r"synthesised 0 of 1 utterances, not nobody\.wav: (.|\n)*has no voice 'xx-nowhere'"
    ):
        espeak.speak([dataclasses.replace(request, voice="xx-nowhere", file="nobody.wav")], tmp_path, 1, None)


def test_without_the_synthesiser_the_error_names_the_package_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sercore\[offline\]'"):
        synthetic.speak("iemocap", tmp_path / "corpus", size=0.01)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "iemocp"}, "unknown corpus 'iemocp'; did you mean 'iemocap'?"),
        ({"name": "iemocap", "size": 0}, "size is 0 and processes None; expected both above 0"),
        ({"name": "iemocap", "processes": 0}, "size is 1.0 and processes 0; expected both above 0"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        synthetic.speak(folder=tmp_path / "corpus", **arguments)


def rated_sentences(count: int) -> pd.DataFrame:
    """Invented sentences on a scale from 0 to 100: the higher their number, the more aroused, the less pleasant."""
    rank = np.arange(count)
    texts = [f"Number {number} is a sentence to speak" for number in rank]
    return pd.DataFrame({"text": texts, "valence": 100 - rank, "arousal": rank, "dominance": 50 + rank % 7})


def test_rated_sentences_of_a_file_are_synthesised_with_their_ratings(tmp_path):
    rated_sentences(99).to_csv(tmp_path / "rated.csv", index=False)
    synthetic.speak("msp-podcast", tmp_path / "corpus", sentences=tmp_path / "rated.csv", size=0.01)
    table = corpora.read("msp-podcast", tmp_path / "corpus").utterances.set_index("utterance")
    reference = {turn.utterance: turn.text for turn in msp_podcast.script(0, 0.01, tmp_path / "rated.csv").turns}
    number = (
        table.index.map(reference).str.extract(r"^Number (\d+) is a sentence to speak$", expand=False).astype(float)
    )
    assert number.notna().all()
    assert correlation(number, table["arousal"]) > 0.7
    assert correlation(number, table["valence"]) < -0.7
    assert "rated text of rated.csv" in (tmp_path / "corpus" / "SIMULATED.txt").read_text()


def test_rated_sentences_keep_to_their_partition(tmp_path):
    table = rated_sentences(60)
    table["partition"] = np.repeat(["train", "development", "test"], 20)
    table.loc[59, "text"] = "Too short"
    table.to_csv(tmp_path / "rated.csv", index=False)
    read = sentences.read_sentences(tmp_path / "rated.csv")
    assert {partition: len(texts) for partition, texts in read.items()} == {"train": 20, "development": 20, "test": 19}
    with pytest.raises(ValueError, match=r"rated\.csv has too few sentences of 4 to 10 words and .* for train"):
        synthetic.speak("msp-podcast", tmp_path / "corpus", sentences=tmp_path / "rated.csv", size=0.01)


def test_a_partition_with_few_rated_sentences_gives_as_many_turns_as_it_has(tmp_path):
    table = rated_sentences(300)
    table["partition"] = np.repeat(["train", "train", "development", "test"], 75)
    table.loc[290:, "text"] = "Too short"
    table.to_csv(tmp_path / "rated.csv", index=False)
    segments = msp_podcast.script(0, 0.2, tmp_path / "rated.csv").segments
    turns = pd.Series([segment.split for segment in segments]).value_counts()
    assert turns.to_dict() == {"Train": 100, "Validation": 48, "Test1": 65 - 3, "Test2": 3}
    assert len({segment.turn.text for segment in segments}) == len(segments)


def test_common_sentences_among_rated_ones_are_known_by_their_ratings_alone(tmp_path):
    rated_sentences(500).to_csv(tmp_path / "rated.csv", index=False)
    turns = msp_podcast.script(0, 0.4, tmp_path / "rated.csv", common=0.5).turns
    rows = pd.DataFrame(
        {
            "transcript": [turn.text for turn in turns],
            "emotion": None,
            "valence": [np.mean(turn.ratings["valence"]) for turn in turns],
        }
    )
    common = rows["transcript"].isin(sentences.TELLING_NOTHING)
    assert 0.4 < common.mean() < 0.6
    assert ((wording.telling(rows) == wording.NOTHING) == common).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="arousal"), "columns text, valence, dominance; expected text, arousal"),
        (
            lambda table: table.assign(split="train"),
            "expected text, arousal, valence, dominance and, optionally, partition",
        ),
        (lambda table: table.assign(valence=["good", *table["valence"][1:]]), "rating that is no number, lines 2"),
        (lambda table: table.assign(partition="tset"), "line 2 is of partition 'tset'; did you mean 'test'"),
        (lambda table: table.assign(dominance=3), "every sentence has the same dominance"),
        (lambda table: table.assign(text="Hm."), "no sentence of 4 to 10 words and at most 55 letters among 9"),
    ],
)
def test_a_file_of_sentences_that_cannot_be_used_is_refused(change, message, tmp_path):
    change(rated_sentences(9)).to_csv(tmp_path / "rated.csv", index=False)
    with pytest.raises(ValueError, match=message):
        sentences.read_sentences(tmp_path / "rated.csv")
