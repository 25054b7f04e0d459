"""Normalised log-mels have lost level and channel: the mean of an utterance, of its speaker or corpus, and no more."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sercore.datasets import normalisation
from sercore.datasets.batches import SpeechDataset
from sercore.datasets.normalisation import LEVEL, groups, moved, moves, offsets, sums
from sercore.datasets.source import CATEGORIES, read
from sercore.features import packed
from sercore.features.audio import FLOOR
from sercore.settings import FeatureSettings, NormalisationSettings, TextSettings

OVERS = ("utterance", "speaker", "corpus")
SPEAKERS = ["a", "b", "a", None, "b", None]


def frames_of(gains=(0.0,) * 6, channel=0.0, seed=0):
    """Six utterances of 32 to 52 frames in 4 bands, each louder by its gain [dB], all through one channel."""
    chance, rows = np.random.default_rng(seed), []
    for number, gain in enumerate(gains):
        logmel = chance.normal(-45, 5, (32 + 4 * number, 4)) + gain + channel
        logmel[:3] = FLOOR  # digital silence, which no gain changes
        rows.append(logmel.clip(FLOOR).astype("float16"))
    count = np.array([len(part) for part in rows])
    ids = pd.Index([f"u{number}" for number in range(6)])
    return packed.Frames(np.concatenate(rows), np.cumsum(count) - count, count, ids, tuple(ids), "made-up")


def utterances(speakers=tuple(SPEAKERS)):
    return pd.DataFrame(
        {"utterance": [f"u{n}" for n in range(len(speakers))], "speaker": pd.Series(speakers, dtype="str")}
    )


def normalised(frames, over, of="channel", table=None):
    """The true frames of each utterance as a dataset gives them."""
    table = utterances() if table is None else table
    offset = offsets(frames, utterances(), table, NormalisationSettings(over=over, of=of))
    dataset = SpeechDataset(frames, table, torch.zeros(len(table)), offsets=offset)
    parts = {}
    for batch in dataset.batches(4, None):
        for logmel, count, row in zip(batch.inputs[0], batch.inputs[1], batch.rows, strict=True):
            assert (logmel[count:] == FLOOR).all()  # padding
            parts[table["utterance"][int(row)]] = logmel[:count].numpy()
    return parts


def sounding(parts):
    """The values of some utterances that are no digital silence, (values, mels)."""
    return np.concatenate([part[3:] for part in parts])


@pytest.mark.parametrize("of", ["level", "channel"])
@pytest.mark.parametrize("over", OVERS)
def test_the_mean_of_each_group_is_brought_to_one_level_and_silence_stays(over, of):
    made = normalised(frames_of((0, 9, -3, 6, 12, -9), channel=np.array([0, 3, -6, 9])), over, of)
    together = {"utterance": [[n] for n in range(6)], "speaker": [[0, 2], [1, 4], [3], [5]], "corpus": [range(6)]}
    for group in together[over]:
        means = sounding([made[f"u{number}"] for number in group]).mean(0)
        assert (means if of == "channel" else means.mean()) == pytest.approx(LEVEL, abs=0.01)
        assert (of == "channel") == (np.ptp(means) < 0.05)
    assert all((part[:3] == FLOOR).all() for part in made.values())


def test_what_a_gain_of_each_recording_adds_goes_with_its_own_mean_alone():
    gains = (12, -12, 6, -6, 3, 0)
    quiet, loud = frames_of(), frames_of(gains)
    same, other = normalised(quiet, "utterance", "level"), normalised(loud, "utterance", "level")
    assert all(np.allclose(same[name], other[name], atol=0.05) for name in same)  # float16 of the cache
    same, other = normalised(quiet, "speaker"), normalised(loud, "speaker")
    assert not all(np.allclose(same[name], other[name], atol=1) for name in same)


@pytest.mark.parametrize("over", OVERS)
def test_what_a_microphone_adds_to_all_of_them_goes_with_any_mean(over):
    plain, filtered = frames_of(), frames_of(channel=np.array([6.0, 0.0, -9.0, 3.0]))
    same, other = normalised(plain, over), normalised(filtered, over)
    assert all(np.allclose(same[name], other[name], atol=0.05) for name in same)
    same, other = normalised(plain, over, "level"), normalised(filtered, over, "level")
    assert not any(np.allclose(same[name], other[name], atol=1) for name in same)  # a level alone is not enough


@pytest.mark.parametrize("over", OVERS)
def test_a_band_that_a_microphone_cuts_off_to_the_floor_moves_with_the_frames_of_its_sound(over):
    made = normalised(frames_of(channel=np.array([-54.0, 0.0, 0.0, -200.0])), over)
    values = sounding([made[f"u{number}"] for number in range(6)])
    assert values.mean(0) == pytest.approx([LEVEL] * 4, abs=0.01)
    assert values[:, 0].min() > LEVEL - 10  # where its quiet half was below the floor
    assert np.ptp(values[:, 3]) < 0.05  # nothing is left of the last band
    assert all((part[:3] == FLOOR).all() for part in made.values())


def test_means_are_of_all_recordings_of_the_corpus_and_not_of_the_dataset_alone():
    frames = frames_of((0, 9, -3, 6, 12, -9))
    part = utterances().iloc[[2, 1]].reset_index(drop=True)
    whole, some = normalised(frames, "speaker"), normalised(frames, "speaker", table=part)
    assert some.keys() == {"u1", "u2"}
    assert all((some[name] == whole[name]).all() for name in some)


def test_utterances_without_features_are_in_no_mean():
    frames = frames_of()
    more = pd.concat([utterances(), pd.DataFrame({"utterance": ["u9"], "speaker": ["a"]})], ignore_index=True)
    settings = NormalisationSettings(over="speaker")
    assert (
        offsets(frames, more, utterances(), settings) == offsets(frames, utterances(), utterances(), settings)
    ).all()


def test_groups_are_numbers_and_nobody_is_in_the_group_of_another():
    speakers = pd.Series(SPEAKERS, dtype="str")
    codes = groups(speakers, "speaker")
    assert codes[0] == codes[2] != codes[1] == codes[4]
    assert len(set(codes)) == 4
    assert len(set(groups(speakers, "utterance"))) == 6
    assert len(set(groups(speakers, "corpus"))) == 1


def test_a_recording_of_nothing_but_silence_stays_so():
    silence = np.full((2, 40, 4), FLOOR, "float16")
    frames = packed.Frames(
        silence.reshape(80, 4), np.array([0, 40]), np.array([40, 40]), pd.Index(["u0", "u1"]), ("0", "1"), "silence"
    )
    move = moves(sums(frames), np.arange(2), "channel")
    assert (move == 0).all()
    made = moved(torch.from_numpy(silence).float(), torch.from_numpy(move)[:, None])
    assert (made == FLOOR).all()
    assert (moved(torch.full((1, 2, 4), -90.0), torch.tensor(-20.0)) == FLOOR).all()  # nothing is below silence


def test_an_array_is_summed_once(monkeypatch):
    frames, summed = frames_of(), []
    rows = packed.Packed.rows
    monkeypatch.setattr(packed.Packed, "rows", lambda self, position: summed.append(position) or rows(self, position))
    for over in OVERS:
        normalised(frames, over)
    assert summed == list(range(6))


def test_a_corpus_is_read_with_its_normalisation_and_speakers_that_lack_are_named(tmp_path):
    rate, chance = 16_000, np.random.default_rng(0)
    rows = []
    for number, speaker in enumerate(["a", "a", "b", None]):
        soundfile.write(tmp_path / f"u{number}.wav", chance.normal(0, 0.05 * 2**number, rate), rate)
        rows.append({"utterance": f"u{number}", "file": f"u{number}.wav", "speaker": speaker, "emotion": "sad"})
    pd.DataFrame(rows).to_csv(tmp_path / "utterances.csv", index=False)

    def dataset(settings):
        source = read(
            "table",
            {"root": str(tmp_path)},
            model="cnn14",
            targets=CATEGORIES,
            classes={"sad": ("sad",), "happy": ("happy",)},
            features=FeatureSettings(mels=32, hop=512),
            text=TextSettings(),
            cache_folder=tmp_path / "cache",
            normalisation=settings,
        )
        (batch,) = source.dataset(source.rows["utterance"]).batches(8, None)
        return batch.inputs[0][batch.rows.argsort()]

    plain = dataset(None)
    alone = dataset(NormalisationSettings(over="utterance"))
    with pytest.warns(UserWarning, match="1 of 4 utterances have no speaker, so each of these is normalised by itself"):
        grouped = dataset(NormalisationSettings(over="speaker"))
    assert alone.mean((1, 2)) == pytest.approx(torch.full((4,), LEVEL), abs=0.01)
    assert plain.mean((1, 2)).diff() == pytest.approx(torch.full((3,), 6.0), abs=0.5)  # twice as loud each time
    assert torch.equal(grouped[2:], alone[2:])
    assert grouped[:2].mean((1, 2)).diff() == pytest.approx(torch.tensor([6.0]), abs=0.5)
    assert grouped[:2].mean() == pytest.approx(LEVEL, abs=0.01)
    assert len(list((tmp_path / "cache").glob("*/log-mel-*"))) == 1  # features are cached as they were recorded


@pytest.mark.parametrize(
    ("over", "of", "words"),
    [
        ("utterance", "level", "the mean of the utterance's frames, of all bands together"),
        ("speaker", "channel", "the mean of the frames of all recordings of its speaker, in each band"),
        ("corpus", "channel", "the mean of the frames of all recordings of its corpus, in each band"),
    ],
)
def test_it_is_described_in_words(over, of, words):
    assert normalisation.described(NormalisationSettings(over=over, of=of)) == words
