"""Batches hold every utterance once, unchanged, the same for the same seed, and little padding."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sercore import schema
from sercore.corpora.corpus import Corpus
from sercore.datasets.batches import SpeechDataset, TextDataset, padding_share
from sercore.datasets.source import CATEGORIES, Source, read
from sercore.features import packed
from sercore.features.audio import FLOOR
from sercore.settings import FeatureSettings, TextSettings

MELS = 4


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pack(kind, rows):
    """Features of utterances u0000, u0001, ..., whose rows are given."""
    count = np.array([len(part) for part in rows])
    ids = [f"u{number:04d}" for number in range(len(rows))]
    return kind(np.concatenate(rows), np.cumsum(count) - count, count, pd.Index(ids), tuple(ids), "made-up-0123")


def frames_of(counts):
    """Frame t of utterance u is [u, t, u + t, 1], so that every number shows where it came from."""
    parts = []
    for number, count in enumerate(counts):
        time = np.arange(count)
        parts.append(np.stack([np.full(count, number), time, number + time, np.ones(count)], axis=1).astype("float16"))
    return pack(packed.Frames, parts)


def speech(counts, embeddings=None, **settings):
    frames = frames_of(counts)
    table = pd.DataFrame({"utterance": frames.utterances})
    return SpeechDataset(frames, table, torch.arange(len(counts)), embeddings, **settings)


def durations(utterances, seed=0):
    """Frames of utterances of 2 to 11 s, log-normal with a mean of 5.5 s, 10 ms each."""
    drawn = np.random.default_rng(seed).lognormal(np.log(550) - 0.1, 0.45, utterances)
    return np.clip(drawn, 200, 1_100).astype(int)


def only_counts(counts):
    """A dataset to plan batches of, without frames to read."""
    count = np.asarray(counts)
    ids = pd.Index([f"u{number:05d}" for number in range(len(count))])
    frames = packed.Frames(np.zeros((1, MELS), "float16"), np.cumsum(count) - count, count, ids, tuple(ids), "none")
    return SpeechDataset(frames, pd.DataFrame({"utterance": ids}), torch.zeros(len(count)))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("utterances", [1, 2, 7, 8, 9, 16, 17, 100, 401, 409])
def test_every_utterance_comes_once_an_epoch(utterances, training):
    plans = only_counts(durations(utterances)).plan(8, seeded() if training else None)
    assert sorted(np.concatenate([plan.rows for plan in plans])) == list(range(utterances))


def test_a_training_batch_has_the_requested_size_and_never_a_single_utterance():
    for utterances in (16, 17, 18, 23, 401, 409, 800, 801):
        sizes = sorted(len(plan.rows) for plan in only_counts(durations(utterances)).plan(8, seeded(utterances)))
        assert sizes[0] >= 2
        assert sum(size != 8 for size in sizes) <= 1
        assert sizes[-1] == (9 if utterances % 8 == 1 else 8)


def test_batches_that_are_not_sorted_are_of_any_duration():
    data = only_counts(durations(400))
    spread = {}
    for sort in (True, False):
        plans = data.plan(8, seeded(), None, sort)
        assert sorted(np.concatenate([plan.rows for plan in plans])) == list(range(400))
        assert {len(plan.rows) for plan in plans} == {8}
        spread[sort] = np.mean([plan.count.std() for plan in plans])
    assert spread[True] < 0.2 * spread[False]
    assert spread[False] == pytest.approx(durations(400).std(), rel=0.15)
    assert min(len(plan.rows) for plan in only_counts(durations(401)).plan(8, seeded(), None, False)) == 8


def test_a_batch_is_what_the_cache_holds():
    counts = durations(50)
    dataset = speech(counts)
    for generator in (None, seeded()):
        for batch in dataset.batches(8, generator):
            logmel, frames, text = batch.inputs
            assert logmel.dtype == torch.float32
            assert text is None
            assert torch.equal(batch.target, batch.rows)
            assert torch.equal(frames, torch.from_numpy(counts)[batch.rows])
            for part, count, number in zip(logmel, frames, batch.rows, strict=True):
                assert (part[:count, 0] == number).all()
                assert torch.equal(part[:count, 1], torch.arange(count, dtype=torch.float16).float())
                assert (part[count:] == FLOOR).all()


def test_a_crop_lies_within_its_utterance_and_anywhere_in_it():
    counts = np.array([40, 60, 61, 100, 300] * 20)
    begins = {300: set(), 61: set()}
    for epoch in range(20):
        for batch in speech(counts).batches(8, seeded(epoch), crop_frames=60):
            logmel, frames, _ = batch.inputs
            assert logmel.shape[1] <= 60
            for part, count, number in zip(logmel, frames, batch.rows, strict=True):
                assert count == min(counts[number], 60)
                assert (part[:count, 0] == number).all()  # never another utterance's frames
                time = part[:count, 1]
                assert torch.equal(time.diff(), torch.ones(count - 1))
                begins.setdefault(int(counts[number]), set()).add(int(time[0]))
    assert begins[40] == begins[60] == {0}
    assert begins[61] == {0, 1}
    assert min(begins[300]) < 10
    assert max(begins[300]) > 230
    assert max(begins[300]) <= 240


def identity(batch):
    return [batch.rows.tolist(), batch.inputs[0].tolist(), batch.inputs[1].tolist()]


def test_the_same_seed_gives_the_same_batches_and_another_gives_others():
    dataset = speech(durations(60))
    one, two, other = ([identity(b) for b in dataset.batches(8, seeded(s), crop_frames=64)] for s in (3, 3, 4))
    assert one == two
    assert one != other


def test_the_global_random_state_neither_matters_nor_moves():
    dataset = speech(durations(60))
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    one = [identity(batch) for batch in dataset.batches(8, seeded(), 64)]
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(2)
    assert [identity(batch) for batch in dataset.batches(8, seeded(), 64)] == one
    evaluated = [identity(batch) for batch in dataset.batches(8, None)]
    assert evaluated == [identity(batch) for batch in dataset.batches(8, None)]


def test_epochs_of_one_generator_differ():
    generator, dataset = seeded(), only_counts(durations(1_000))
    one, two = ([frozenset(plan.rows) for plan in dataset.plan(32, generator)] for _ in range(2))
    assert one != two
    assert len(set(one) & set(two)) <= 0.1 * len(one)  # nor the same batches in another order, though all is one group


def test_few_frames_are_padding_and_there_are_few_lengths():
    for utterances, most in ((600, 0.05), (1_200, 0.04), (20_000, 0.03)):
        dataset = only_counts(durations(utterances))
        assert padding_share(dataset, 32, seeded()) < most
        assert padding_share(dataset, 32, None) < most
        lengths = {plan.padded for plan in dataset.plan(32, seeded())}
        assert all(length % 8 == 0 for length in lengths)
        assert len(lengths) <= (1_100 - 200) / 8 + 1


def test_padding_share_is_what_the_batches_hold():
    dataset = speech([33, 40, 64, 65])  # in batches of 2: to 40 and to 72, as similar ones share a batch
    held = sum(len(batch.rows) * batch.inputs[0].shape[1] for batch in dataset.batches(2, seeded()))
    assert held == 2 * 40 + 2 * 72
    assert padding_share(dataset, 2, seeded()) == pytest.approx(1 - (33 + 40 + 64 + 65) / held)
    assert padding_share(speech([64] * 10), 2, seeded(), crop_frames=50) == 0


def test_batches_come_in_random_order_of_duration():
    plans = only_counts(durations(3_200)).plan(32, seeded())
    lengths = np.array([plan.padded for plan in plans], dtype=float)
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.3


def test_evaluation_takes_the_longest_first_and_fewer_of_them():
    counts = [500] * 70 + [3_400] * 6 + [40_000]
    plans = only_counts(counts).plan(32, None)
    assert [plan.count.max() for plan in plans] == [40_000, 3_400, 500, 500, 500]
    assert [len(plan.rows) for plan in plans] == [1, 9, 32, 32, 3]
    plans = only_counts([3_400] * 64).plan(32, None)
    assert max(len(plan.rows) * plan.padded for plan in plans) <= 32 * 1_000
    assert sum(len(plan.rows) for plan in plans) == 64


def test_evaluation_is_of_whole_utterances():
    with pytest.raises(ValueError, match="evaluation takes whole utterances: crop_frames needs a generator"):
        list(speech([40, 50]).batches(2, None, crop_frames=32))
    with pytest.raises(ValueError, match="crop_frames is 31; expected at least 32"):
        list(speech([40, 50]).batches(2, seeded(), crop_frames=31))


def test_a_dataset_may_be_a_part_in_any_order():
    frames = frames_of([40, 50, 60, 70])
    table = pd.DataFrame({"utterance": ["u0003", "u0001"]}, index=[17, 4])
    dataset = SpeechDataset(frames, table, torch.tensor([3, 1]))
    assert len(dataset) == 2
    assert list(dataset.utterances.index) == [0, 1]
    for batch in dataset.batches(2, seeded()):
        assert torch.equal(batch.inputs[0][:, 0, 0].long(), batch.target)
        assert dataset.utterances["utterance"][batch.rows.numpy()].tolist() == [f"u000{t}" for t in batch.target]


def test_each_utterance_gets_its_own_embedding():
    counts = durations(40)
    vectors = [np.full((1, 3), number, "float32") for number in range(40)]
    for batch in speech(counts, pack(packed.Embeddings, vectors)).batches(8, seeded(), 64):
        assert batch.inputs[2].shape == (len(batch.rows), 3)
        assert torch.equal(batch.inputs[2][:, 0].long(), batch.rows)


def test_an_array_on_the_device_gives_the_same_batches_as_one_on_disk():
    on_disk, on_device = (speech(durations(60)) for _ in range(2))
    on_device._resident = torch.from_numpy(on_device._packed.array)  # as `to` does it on a GPU with room
    for generators in ((None, None), (seeded(), seeded())):
        pairs = [
            dataset.batches(8, generator) for dataset, generator in zip((on_disk, on_device), generators, strict=True)
        ]
        assert [identity(batch) for batch in pairs[0]] == [identity(batch) for batch in pairs[1]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_batches():
    counts, vectors = durations(60), [np.full((1, 3), number, "float32") for number in range(60)]
    here = speech(counts, pack(packed.Embeddings, vectors))
    there = speech(counts, pack(packed.Embeddings, vectors)).to("cuda")
    assert there._resident is not None
    for one, two in zip(here.batches(8, seeded(), 64), there.batches(8, seeded(), 64), strict=True):
        for a, b in zip(one.inputs, two.inputs, strict=True):
            assert b.is_cuda
            assert torch.equal(a, b.cpu())
        assert torch.equal(one.target, two.target.cpu())


def test_tokens_are_padded_and_masked():
    rows = [np.arange(101, 101 + count, dtype="int32") for count in (3, 9, 5, 17, 2)]
    tokens = pack(packed.Tokens, rows)
    dataset = TextDataset(tokens, pd.DataFrame({"utterance": tokens.utterances}), torch.arange(5))
    for generator in (None, seeded()):
        for batch in dataset.batches(2, generator):
            ids, mask = batch.inputs
            assert (ids.dtype, mask.dtype) == (torch.int64, torch.bool)
            assert ids.shape == mask.shape
            for part, real, number in zip(ids, mask, batch.rows, strict=True):
                assert part[real].tolist() == rows[number].tolist()
                assert (part[~real] == 0).all()


def test_what_does_not_fit_together_is_refused():
    frames = frames_of([40, 50])
    table = pd.DataFrame({"utterance": ["u0000", "u0001"]})
    with pytest.raises(ValueError, match="1 targets for 2 utterances"):
        SpeechDataset(frames, table, torch.zeros(1))
    with pytest.raises(ValueError, match="1 of 2 utterances are not in made-up-0123, u0007"):
        SpeechDataset(frames, pd.DataFrame({"utterance": ["u0000", "u0007"]}), torch.zeros(2))
    with pytest.raises(ValueError, match="1 of 2 utterances are not in made-up-0123, u0001"):
        SpeechDataset(frames, table, torch.zeros(2), pack(packed.Embeddings, [np.zeros((1, 3), "float32")]))
    with pytest.raises(ValueError, match="no utterances; expected at least one"):
        SpeechDataset(frames, table[:0], torch.zeros(0))
    with pytest.raises(ValueError, match="not finite; drop the utterances without a rating"):
        SpeechDataset(frames, table, torch.tensor([1.0, torch.nan]))


@pytest.mark.parametrize(("model", "what"), [("cnn14", "log-mels"), ("bert", "tokens"), ("hubert", "waveforms")])
def test_a_source_without_the_features_of_its_model_is_refused(tmp_path, model, what):
    rows = pd.DataFrame({"utterance": ["a", "b"], "arousal": [1.0, 2.0]})
    corpus = Corpus("toy", tmp_path, (1, 5), rows, findings=(), simulated=True)
    absent = {"frames": None, "embeddings": None, "tokens": None}
    source = Source(corpus=corpus, model=model, targets=("arousal",), classes={}, rows=rows, **absent)
    with pytest.raises(ValueError, match=f"the source was read without {what}"):
        source.dataset(["a", "b"])


def source_of(tmp_path, targets, classes=schema.FOUR_CLASSES, **columns):
    """A corpus with these `columns`, read as a text model's run sees it."""
    table = pd.DataFrame({"utterance": list("abcdef"), "transcript": ["well"] * 6, **columns})
    table["file"] = table["utterance"] + ".wav"
    for name in table["file"]:
        soundfile.write(tmp_path / name, np.zeros(16_000, "float32"), 16_000)
    table.to_csv(tmp_path / "table.csv", index=False)
    options = {"reader": "table", "root": str(tmp_path / "table.csv"), "scale": [1, 9]}
    encoder = TextSettings(encoder="all-minilm-l6-v2", tokens=8)
    return read(
        "toy",
        options,
        model="bert",
        targets=targets,
        classes=classes,
        features=FeatureSettings(),
        text=encoder,
        cache_folder=tmp_path / "cache",
    )


def test_a_source_has_the_utterances_with_a_class_as_codes_in_the_order_of_the_classes(tmp_path):
    emotions = ["sad", "excited", None, "happy", "fearful", "angry"]
    source = source_of(tmp_path, CATEGORIES, emotion=emotions)
    codes = source.dataset(source.rows["utterance"]).target
    assert dict(zip(source.rows["utterance"], codes.tolist(), strict=True)) == {"a": 3, "b": 1, "d": 1, "f": 0}
    assert codes.dtype == torch.int64


def test_a_source_has_the_utterances_with_every_rating(tmp_path):
    nan = float("nan")
    ratings = {"arousal": [1, 2, nan, 4, 5, 6], "valence": [4, nan, 6, 1, 2, 3]}
    source = source_of(tmp_path, ("valence", "arousal"), **ratings)
    target = source.dataset(source.rows["utterance"]).target
    assert dict(zip(source.rows["utterance"], target.tolist(), strict=True)) == {
        "a": [4, 1],
        "d": [1, 4],
        "e": [2, 5],
        "f": [3, 6],
    }
    assert target.dtype == torch.float32


def test_a_corpus_in_which_nothing_has_the_target_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no utterance has emotion: nothing to train or test on"):
        source_of(tmp_path, CATEGORIES, emotion=["fearful"] * 6)
