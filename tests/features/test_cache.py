"""The cache computes once, keys by content, and never gives what is incomplete or of other content."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from sercore import files, schema
from sercore.corpora import Corpus
from sercore.features import cache, packed
from sercore.features.audio import AudioError, log_mel, read_audio
from sercore.features.text import TextEncoder
from sercore.settings import FeatureSettings, TextSettings

RATE = 16_000
SMALL = FeatureSettings(mels=32, hop=320)
MINILM = TextSettings(encoder="all-minilm-l6-v2")
YESTERDAY = time.time() - 86_400  # a file changed just now is not yet trusted by its time
TRANSCRIPTS = ["Hello there.", None, "", "Hello there.", "What a day it was!", "No."]


def build_corpus(root, utterances=6, name="tiny"):
    """`utterances` wavs of .3 to 1.3 s in `root`, written yesterday, and the corpus of them."""
    root.mkdir(parents=True, exist_ok=True)
    for number in range(utterances):
        write_wav(root / f"u{number}.wav", seed=number, samples=5_000 + 3_000 * (number % 6))
    return corpus_of(root, [f"u{number}" for number in range(utterances)], name)


def write_wav(path, seed, samples=9_000, changed=YESTERDAY):
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(samples), RATE)
    os.utime(path, (changed, changed))


def corpus_of(root, ids, name="tiny"):
    rows = pd.DataFrame({"utterance": ids, "file": [f"{one}.wav" for one in ids], "speaker": "someone"})
    rows["transcript"] = [TRANSCRIPTS[number % len(TRANSCRIPTS)] for number in range(len(ids))]
    table = schema.check_utterances(rows, "test")
    return Corpus(name=name, root=Path(root), scale=(1, 5), utterances=table, findings=(), simulated=True)


class Progress:
    """A progress callback that records its calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, total, what):
        self.calls.append((done, total, what))

    def work(self):
        """What was computed -> of how many."""
        return {what: total for done, total, what in self.calls if done == total}


HASHING, EXTRACTING = "hashing the audio of tiny", "log-mel of tiny"


def contents(folder):
    return sorted(path.name for path in (folder / "tiny").iterdir() if path.name != packed.LOCK)


@pytest.fixture
def corpus(tmp_path):
    return build_corpus(tmp_path / "corpus")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def test_each_utterance_has_the_frames_of_its_own_audio(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    assert frames.array.dtype == np.float16
    assert isinstance(frames.array, np.memmap)
    assert list(frames.utterances) == sorted(corpus.utterances["utterance"])
    assert frames.count.sum() == len(frames.array)
    for row in corpus.utterances.itertuples():
        expected = log_mel(read_audio(corpus.root / row.file), SMALL).numpy()
        (position,) = frames.positions([row.utterance])
        np.testing.assert_allclose(frames.rows(position), expected, atol=0.05)  # half precision: 2 ** -5 dB at 100 dB


def test_a_second_call_reads_no_audio(corpus, folder):
    first, second = Progress(), Progress()
    frames = cache.log_mels(corpus, SMALL, folder, first)
    assert first.work() == {HASHING: 6, EXTRACTING: 6}
    for path in corpus.root.glob("*.wav"):  # as long and as old as before, but no audio any more
        path.write_bytes(b"x" * path.stat().st_size)
        os.utime(path, (YESTERDAY, YESTERDAY))
    again = cache.log_mels(corpus, SMALL, folder, second)
    assert second.calls == []
    assert again.key == frames.key
    assert np.array_equal(again.array, frames.array)


def test_touched_audio_is_hashed_but_not_computed_again(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    progress, later = Progress(), YESTERDAY + 3_600
    for path in (corpus.root / "u1.wav", corpus.root / "u4.wav"):
        os.utime(path, (later, later))
    assert cache.log_mels(corpus, SMALL, folder, progress).key == frames.key
    assert progress.work() == {HASHING: 2}


def test_changed_audio_is_computed_again_and_only_that(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    write_wav(corpus.root / "u2.wav", seed=77, samples=11_000, changed=YESTERDAY + 60)
    progress = Progress()
    other = cache.log_mels(corpus, SMALL, folder, progress)
    assert other.key != frames.key
    assert progress.work() == {HASHING: 1, EXTRACTING: 1}
    expected = log_mel(read_audio(corpus.root / "u2.wav"), SMALL).numpy()
    np.testing.assert_allclose(other.rows(2), expected, atol=0.05)
    for kept in (0, 1, 3, 4, 5):
        assert np.array_equal(other.rows(kept), frames.rows(kept))


def test_a_change_of_the_same_size_right_after_the_first_call_is_noticed(tmp_path, folder):
    corpus = build_corpus(tmp_path / "corpus", utterances=2)
    now = time.time()
    write_wav(corpus.root / "u0.wav", seed=1, changed=now)
    key = cache.log_mels(corpus, SMALL, folder).key
    write_wav(corpus.root / "u0.wav", seed=2, changed=now)  # same size, and so soon that the time is the same
    assert cache.log_mels(corpus, SMALL, folder).key != key


def test_the_key_is_of_content_and_settings_not_of_place_or_order(corpus, folder, tmp_path):
    key = cache.log_mels(corpus, SMALL, folder).key
    moved = build_corpus(tmp_path / "elsewhere")
    backwards = corpus_of(moved.root, [f"u{number}" for number in reversed(range(6))])
    assert cache.log_mels(backwards, SMALL, folder).key == key
    assert cache.log_mels(corpus, FeatureSettings(mels=40, hop=320), folder).key != key
    assert cache.log_mels(corpus_of(corpus.root, ["u0", "u1"]), SMALL, folder).key != key
    swapped = corpus.utterances.assign(file=list(reversed(corpus.utterances["file"])))
    assert cache.log_mels(Corpus("tiny", corpus.root, (1, 5), swapped, (), True), SMALL, folder).key != key


def test_the_bytes_do_not_depend_on_the_number_of_threads(corpus, tmp_path):
    before = torch.get_num_threads()
    written = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            frames = cache.log_mels(corpus, SMALL, tmp_path / f"cache-{threads}")
            assert torch.get_num_threads() == threads
            written.append((tmp_path / f"cache-{threads}" / "tiny" / frames.key / packed.ROWS).read_bytes())
    finally:
        torch.set_num_threads(before)
    assert written[0] == written[1]


def test_unusable_audio_is_named_and_the_rest_is_kept(corpus, folder):
    (corpus.root / "u1.wav").write_bytes(b"")
    whole = (corpus.root / "u3.wav").read_bytes()
    (corpus.root / "u3.wav").write_bytes(whole[:5_000])
    with pytest.raises(
        AudioError, match=r"2 of 6 utterances cannot be used:\n.*u1\.wav: the file.*\n.*u3\.wav: cut off"
    ):
        cache.log_mels(corpus, SMALL, folder)
    for number in (1, 3):
        write_wav(corpus.root / f"u{number}.wav", seed=number)
    progress = Progress()
    frames = cache.log_mels(corpus, SMALL, folder, progress)
    assert progress.work()[EXTRACTING] == 2
    assert len(frames.count) == 6


def test_absent_audio_is_named_before_anything_is_computed(corpus, folder):
    (corpus.root / "u2.wav").unlink()
    with pytest.raises(AudioError, match=rf"audio files that are not below {corpus.root}, 1 of 6: u2\.wav; copy"):
        cache.log_mels(corpus, SMALL, folder)
    assert not folder.exists()


def test_a_copy_that_was_interrupted_is_computed_again(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    place = folder / "tiny" / frames.key
    expected = np.array(frames.array)
    for name in (packed.ROWS, packed.INDEX, packed.ABOUT):
        (place / name).unlink()
        assert np.array_equal(cache.log_mels(corpus, SMALL, folder).array, expected)


def damage(path, how):
    """Truncate `path`, empty it, or change a byte in its middle, which leaves its size and time as they were."""
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    held = path.stat()
    path.write_bytes({"flipped": content, "truncated": content[: len(content) // 2], "emptied": b""}[how])
    os.utime(path, ns=(held.st_atime_ns, held.st_mtime_ns))


@pytest.mark.parametrize("how", ["flipped", "truncated", "emptied"])
@pytest.mark.parametrize("name", [packed.ROWS, packed.INDEX, packed.ABOUT])
def test_a_damaged_entry_is_named_set_aside_and_computed_again(corpus, folder, monkeypatch, name, how):
    frames = cache.log_mels(corpus, SMALL, folder)
    place, expected = folder / "tiny" / frames.key, np.array(frames.array)
    if (name, how) == (packed.ABOUT, "flipped"):
        (place / name).write_text((place / name).read_text().replace('"rows.npy": "', '"rows.npy": "f'))
    else:
        damage(place / name, how)
    monkeypatch.setattr(packed, "_CHECKSUMS", {})  # as in another process
    progress = Progress()
    with pytest.warns(UserWarning, match=rf"the cache entry {place} is damaged .*computed again"):
        again = cache.log_mels(corpus, SMALL, folder, progress)
    assert progress.work() == {EXTRACTING: 6}
    assert np.array_equal(again.array, expected)
    assert (folder / "tiny" / packed.DAMAGED / frames.key / name).exists()
    assert [key for key in contents(folder) if key.startswith("log-mel")] == [frames.key]
    monkeypatch.setattr(packed, "_CHECKSUMS", {})
    assert cache.log_mels(corpus, SMALL, folder).key == frames.key


def test_rows_of_a_damaged_entry_are_not_taken_for_another(corpus, folder, monkeypatch):
    frames = cache.log_mels(corpus, SMALL, folder)
    damage(folder / "tiny" / frames.key / packed.ABOUT, "truncated")
    with pytest.warns(UserWarning, match="is damaged"):
        fewer = cache.log_mels(corpus_of(corpus.root, ["u0", "u1"]), SMALL, folder)
    assert np.array_equal(fewer.rows(0), frames.rows(0))
    damage(folder / "tiny" / fewer.key / packed.ROWS, "flipped")
    monkeypatch.setattr(packed, "_CHECKSUMS", {})
    assert list(packed.stored(packed.Frames, folder / "tiny", "log-mel")) == []


def test_content_is_compared_once_a_process(corpus, folder, monkeypatch):
    frames = cache.log_mels(corpus, SMALL, folder)
    monkeypatch.setattr(packed, "_CHECKSUMS", {})
    cache.log_mels(corpus, SMALL, folder)
    damage(folder / "tiny" / frames.key / packed.ROWS, "flipped")  # unnoticed: it was read already
    assert cache.log_mels(corpus, SMALL, folder).key == frames.key


def test_an_entry_of_a_version_without_checksums_is_computed_again(corpus, folder):
    about = folder / "tiny" / cache.log_mels(corpus, SMALL, folder).key / packed.ABOUT
    content = json.loads(about.read_text())
    del content[packed.CHECKSUMS]
    about.write_text(json.dumps(content))
    progress = Progress()
    cache.log_mels(corpus, SMALL, folder, progress)
    assert progress.work() == {EXTRACTING: 6}


@pytest.mark.parametrize("how", ["flipped", "truncated", "emptied"])
def test_a_damaged_ledger_is_named_and_the_audio_hashed_again(corpus, folder, how):
    key = cache.log_mels(corpus, SMALL, folder).key
    (ledger,) = (folder / "tiny").glob("audio-*.parquet")
    if how == "flipped":
        content = ledger.read_bytes()
        digest = cache._read_ledger(ledger).popitem()[1].encode()
        ledger.write_bytes(content.replace(digest, digest[:-1] + (b"0" if digest[-1:] != b"0" else b"1")))
    else:
        damage(ledger, how)
    progress = Progress()
    with pytest.warns(UserWarning, match=r"audio-.*\.parquet is damaged .* hashed again"):
        assert cache.log_mels(corpus, SMALL, folder, progress).key == key
    assert progress.work() == {HASHING: 6}
    assert cache.log_mels(corpus, SMALL, folder).key == key


def test_a_pipe_among_the_audio_is_not_opened(corpus, folder):
    (corpus.root / "u2.wav").unlink()
    os.mkfifo(corpus.root / "u2.wav")
    with pytest.raises(AudioError, match=r"1 of 6: u2\.wav"):
        cache.log_mels(corpus, SMALL, folder)


def test_an_error_midway_leaves_nothing_behind(corpus, folder):
    def fail(done, _total, what):
        if what == EXTRACTING and done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.log_mels(corpus, SMALL, folder, fail)
    assert [name for name in contents(folder) if not name.startswith("audio-")] == []


PROGRAM = """
import json, os, signal, sys, time
sys.path[:0] = [{tests!r}, {tests!r} + "/.."]
import test_cache
corpus = test_cache.corpus_of({root!r}, [f"u{{number}}" for number in range(60)])
record = test_cache.Progress()
def progress(done, total, what):
    record(done, total, what)
    if {die} and what == test_cache.EXTRACTING and done == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.01)
print("ready", flush=True)
sys.stdin.readline()
frames = test_cache.cache.log_mels(corpus, test_cache.SMALL, {folder!r}, progress)
print(json.dumps([frames.key, frames.array.tobytes().hex()[:4000], len(frames.array), record.work()]))
"""


def start(root, folder, die=False):
    """Another process that computes the log-mels of `root`, once it is let go; killed on its way where it is to die."""
    program = PROGRAM.format(tests=str(Path(__file__).parent), root=str(root), folder=str(folder), die=die)
    return subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.long
def test_killed_and_concurrent_processes_leave_the_cache_whole(tmp_path, folder):
    corpus = build_corpus(tmp_path / "corpus", utterances=60)
    victim, one, two = (start(corpus.root, folder, die=die) for die in (True, False, False))
    for process in (victim, one, two):
        assert process.stdout.readline() == "ready\n"
    victim.communicate("go\n")
    assert victim.returncode == -signal.SIGKILL
    left = [name for name in contents(folder) if name.endswith(".part")]
    assert len(left) == 1  # what it wrote is there, and must be neither read nor kept
    for process in (one, two):
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [json.loads(process.communicate()[0]) for process in (one, two)]
    assert answers[0][:3] == answers[1][:3]
    computed = [answer[3].get(EXTRACTING, 0) for answer in answers]
    assert sorted(computed) == [0, 60]  # one worked, the other waited and read
    frames = cache.log_mels(corpus, SMALL, folder)
    assert frames.key == answers[0][0]
    assert [name for name in contents(folder) if not name.startswith("audio-")] == [frames.key]
    np.testing.assert_allclose(
        frames.rows(7), log_mel(read_audio(corpus.root / f"{frames.utterances[7]}.wav"), SMALL), atol=0.05
    )


def test_the_slower_of_two_writers_without_a_lock_loses_quietly(tmp_path):
    place = tmp_path / "rows-0123"
    with files.atomic_folder(place) as slow:
        (slow / "name").write_text("slow")
        with files.atomic_folder(place) as quick:
            (quick / "name").write_text("quick")
    assert (place / "name").read_text() == "quick"
    assert list(tmp_path.iterdir()) == [place]


def test_embeddings_are_those_of_the_encoder_and_a_missing_transcript_has_that_of_the_empty_one(corpus, folder):
    progress, again = Progress(), Progress()
    embeddings = cache.text_embeddings(corpus, MINILM, folder, progress)
    assert embeddings.array.shape == (6, 384)
    assert embeddings.array.dtype == np.float32
    expected = TextEncoder(MINILM).embed([text or "" for text in TRANSCRIPTS])
    np.testing.assert_allclose(embeddings.array, expected, atol=1e-5)
    assert np.array_equal(embeddings.array[1], embeddings.array[2])  # missing is taken as empty
    assert progress.work() == {"text embeddings of tiny": 4}  # of four distinct transcripts
    assert cache.text_embeddings(corpus, MINILM, folder, again).key == embeddings.key
    assert again.calls == []


def test_tokens_are_those_of_the_encoder(corpus, folder):
    tokens = cache.tokens(corpus, MINILM, folder)
    expected = TextEncoder(MINILM).tokenize([text or "" for text in TRANSCRIPTS])
    assert [tokens.rows(row).tolist() for row in range(6)] == expected
    assert tokens.array.dtype == np.int32


def test_text_features_are_keyed_by_transcripts_and_encoder_not_by_audio(corpus, folder):
    key = cache.tokens(corpus, MINILM, folder).key
    write_wav(corpus.root / "u0.wav", seed=99)
    assert cache.tokens(corpus, MINILM, folder).key == key
    shorter = TextSettings(encoder=MINILM.encoder, tokens=5)
    assert cache.tokens(corpus, shorter, folder).count.max() == 5
    changed = corpus.utterances.assign(transcript=["Hello there!", *corpus.utterances["transcript"][1:]])
    assert cache.tokens(Corpus("tiny", corpus.root, (1, 5), changed, (), True), MINILM, folder).key != key


def test_an_utterance_that_was_not_computed_is_named(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    with pytest.raises(ValueError, match=rf"2 of 3 utterances are not in {frames.key}, x, y; expected features"):
        frames.positions(["x", "u1", "y"])


def test_cached_features_cannot_be_written_to(corpus, folder):
    frames = cache.log_mels(corpus, SMALL, folder)
    with pytest.raises(ValueError, match="read-only"):
        frames.array[0] = 0
