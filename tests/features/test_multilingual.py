"""Multilingual encoders and recognisers of tiny configurations, by folder and by id, on sentences of many languages."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
import tiny_recognisers
import torch
import transformers
from huggingface_hub import constants
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from sercore import schema
from sercore.corpora import corpus as corpora
from sercore.features import asr, cache, text
from sercore.settings import TextSettings

SENTENCES = {
    "de": "Heute Abend könnte ich es ihm sagen.",
    "fr": "Je ne peux pas croire que tu aies fait ça.",
    "ru": "Я не могу поверить в это.",
    "ar": "لا أستطيع أن أصدق ذلك.",
    "zh": "我不敢相信你做了那件事。",
    "ja": "そんなことは信じられない。",
    "th": "ฉันไม่อยากจะเชื่อเลย",
}


@pytest.fixture(scope="module")
def xlm_roberta(tmp_path_factory):
    """The folder of an XLM-RoBERTa of 8 numbers a token, whose pieces were learnt from SENTENCES."""
    folder = tmp_path_factory.mktemp("xlm-roberta")
    pieces = Tokenizer(models.BPE(unk_token="<unk>"))
    pieces.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=special, show_progress=False)
    pieces.train_from_iterator(list(SENTENCES.values()) * 20, trainer)
    around = [("<s>", pieces.token_to_id("<s>")), ("</s>", pieces.token_to_id("</s>"))]
    pieces.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "cls_token": "<s>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, **names).save_pretrained(folder)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.AutoConfig.for_model(
        "xlm-roberta", vocab_size=pieces.get_vocab_size(), max_position_embeddings=80, pad_token_id=1, **shape
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    about = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


@pytest.fixture
def english(xlm_roberta, tmp_path):
    """The same encoder with a tokeniser that knows English words alone."""
    folder = tmp_path / "english"
    shutil.copytree(xlm_roberta, folder)
    known = {"[UNK]": 0, "[PAD]": 1, "I": 2, "cannot": 3, "believe": 4, "it": 5, ".": 6}
    words = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def made_corpus(tmp_path):
    """A corpus of SENTENCES, without audio."""
    rows = pd.DataFrame({"utterance": list(SENTENCES), "transcript": list(SENTENCES.values())})
    table = schema.check_utterances(rows.assign(file="x.wav", speaker="anna"), "made up")
    return corpora.Corpus("many", tmp_path, (1, 5), table, (), False)


def test_sentences_of_many_languages_are_embedded_and_differ(xlm_roberta):
    encoder = text.TextEncoder(TextSettings(encoder=str(xlm_roberta), tokens=64))
    said = list(SENTENCES.values())
    embedded = encoder.embed(said)
    assert torch.isfinite(embedded).all()
    assert len(embedded.unique(dim=0)) == len(said)
    assert encoder.coverage(said).unknown == 0


def test_an_encoder_by_its_id_is_the_one_of_the_local_cache(xlm_roberta, tmp_path, monkeypatch):
    revision = "0" * 40
    repository = tmp_path / "models--somebody--tiny-xlm-roberta"
    shutil.copytree(xlm_roberta, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    named, local = (
        text.TextEncoder(TextSettings(encoder=encoder, tokens=64))
        for encoder in ("somebody/tiny-xlm-roberta", str(xlm_roberta))
    )
    assert named.fingerprint == local.fingerprint
    assert torch.equal(named.embed([SENTENCES["ru"]]), local.embed([SENTENCES["ru"]]))


@pytest.mark.parametrize(
    ("unknown", "pieces", "complaint"),
    [(0.0, 1.1, ""), (0.5, 1.0, "50.0 % of the tokens are unknown"), (0.0, 2.4, "cuts a word into 2.4 pieces")],
)
def test_a_language_that_an_encoder_hardly_knows_is_complained_of(unknown, pieces, complaint):
    said = text.Coverage(unknown, pieces).complaint("x")
    assert complaint in said if complaint else not said


def test_coverage_counts_words_or_characters_where_no_space_is_between_words(english):
    encoder = text.TextEncoder(TextSettings(encoder=str(english), tokens=64))
    assert encoder.coverage(["I cannot believe it.", ""]) == text.Coverage(unknown=0, pieces=1)
    assert encoder.coverage([]) == text.Coverage(unknown=0, pieces=0)
    assert [len(text.WORD.findall(SENTENCES[name])) for name in ("de", "zh", "ja", "th")] == [8, 12, 13, 20]


def test_it_is_logged_where_the_features_are_computed(english, xlm_roberta, made_corpus, tmp_path, caplog):
    for encoder, times in ((xlm_roberta, 0), (english, 1)):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            cache.tokens(made_corpus, TextSettings(encoder=str(encoder), tokens=32), tmp_path / "cache")
        assert caplog.text.count("hardly knows the language of the transcripts") == times


def test_a_multilingual_recogniser_is_told_the_language_of_the_speech(tmp_path):
    folder = tiny_recognisers.write_whisper(tmp_path / "whisper")
    sound = np.random.default_rng(3).normal(0, 0.1, 16_000).astype(np.float32)
    with pytest.raises(ValueError, match="knows English only, not 'de'"):
        _of_many_languages(folder, False)
        asr.Recogniser(str(folder), language="de").transcribe(sound)
    _of_many_languages(folder, True)
    said = {language: asr.Recogniser(str(folder), language=language).transcribe(sound) for language in ("de", "fr")}
    assert said["de"] != said["fr"]


def _of_many_languages(folder, multilingual):
    """Say in the tiny Whisper's configuration whether it is multilingual; its words stand for languages' marks."""
    path = folder / "generation_config.json"
    marks = {"lang_to_id": {"<|de|>": 3, "<|fr|>": 6}, "task_to_id": {"transcribe": 4, "translate": 5}}
    more = {"is_multilingual": multilingual, "no_timestamps_token_id": 7, "_from_model_config": False}
    path.write_text(json.dumps(json.loads(path.read_text()) | more | (marks if multilingual else {})))
