"""Text encoders of many families: tiny ones without any knowledge are loaded, embed texts, and are fine-tuned."""

import ast
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sercore.features import hub, text
from sercore.features.hub import EncoderError
from sercore.models import checkpoint
from sercore.models.text import TextModel
from sercore.settings import TextSettings

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<mask>")
WORDS = ("it", "rained", "all", "day", "and", "nobody", "came", "no", "happy", "sad")
SIZE = len(SPECIAL) + len(WORDS)
NAMES = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"}
USUAL = {
    "vocab_size": SIZE,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
}
T5 = {"vocab_size": SIZE, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 2, "num_heads": 2}
BART = {
    "vocab_size": SIZE,
    "d_model": 8,
    "encoder_layers": 2,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "max_position_embeddings": 20,
}
FAMILIES = {
    "bert": USUAL,
    "roberta": {**USUAL, "pad_token_id": 1},
    "xlm-roberta": {**USUAL, "pad_token_id": 1},
    "mpnet": {**USUAL, "pad_token_id": 1},
    "distilbert": {"vocab_size": SIZE, "dim": 8, "n_layers": 2, "n_heads": 2, "hidden_dim": 16},
    "albert": {**USUAL, "embedding_size": 4},
    "electra": {**USUAL, "embedding_size": 4},
    "deberta": USUAL,
    "deberta-v2": {**USUAL, "relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
    "xlnet": {"vocab_size": SIZE, "d_model": 8, "n_layer": 2, "n_head": 2, "d_inner": 16},
    "t5": T5,
    "bart": BART,
    "gpt2": {"vocab_size": SIZE, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 20},
    "modernbert": {**USUAL, "pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2},
}
TEXTS = ["it rained all day and nobody came", "no", "", "happy sad happy", "nobody rained", "sad no it", "came all day"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The folder of a tiny encoder of a family, made when it is first wanted."""
    made = {}

    def make(family):
        if family not in made:
            made[family] = write_encoder(tmp_path_factory.mktemp(family), family, FAMILIES[family])
        return made[family]

    return make


def write_encoder(folder, family, shape, special=True):
    """`special`: the tokeniser has tokens of its own, and all but GPT-2's put them around a text."""
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate((*SPECIAL, *WORDS))}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    if special and family != "gpt2":
        around = [("<s>", 1), ("</s>", 2)]
        words.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    names = {"unk_token": "<unk>"} | (NAMES if special and family != "gpt2" else {})
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, **names).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.AutoConfig.for_model(family, **shape)
        transformers.AutoModel.from_config(config).save_pretrained(folder)
    about = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(about | {"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def settings(folder, tokens=16):
    return TextSettings(encoder=str(folder), tokens=tokens)


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_embeds_a_text_whatever_else_is_embedded(self, folders, family):
        encoder = text.TextEncoder(settings(folders(family)))
        together = encoder.embed(TEXTS)
        assert together.shape == (len(TEXTS), 8)
        assert torch.isfinite(together).all()
        assert len(together.unique(dim=0)) == len(TEXTS)
        for order in (torch.arange(len(TEXTS)).flip(0), torch.tensor([4]), torch.tensor([5, 1, 3])):
            assert torch.equal(encoder.embed([TEXTS[i] for i in order]), together[order])

    def test_is_fine_tuned_and_loaded_again(self, folders, family, tmp_path):
        model = TextModel(str(folders(family)), outputs=2, generator=torch.Generator().manual_seed(0)).eval()
        tokens = torch.tensor([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]])
        mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], dtype=torch.bool)
        alone = model(tokens[1:, :3], mask[1:, :3])
        torch.testing.assert_close(model(tokens, mask).logits[1:], alone.logits, atol=1e-5, rtol=1e-4)
        model.train()
        torch.nn.functional.cross_entropy(model(tokens, mask).logits, torch.tensor([0, 1])).backward()
        before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        torch.optim.Adam(model.parameters(), lr=0.01).step()
        moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
        assert len(moved) > len(before) / 2
        content = {"kind": "text", "encoder": str(folders(family)), "outputs": 2}
        checkpoint.save(model, content, tmp_path / "model.safetensors")
        again = checkpoint.load(tmp_path / "model.safetensors")[0].eval()
        torch.testing.assert_close(again(tokens, mask).logits, model.eval()(tokens, mask).logits)


@pytest.mark.parametrize(("family", "most"), [("roberta", 18), ("xlm-roberta", 18), ("bert", 20), ("gpt2", 20)])
def test_a_text_as_long_as_the_positions_is_read_and_a_longer_one_refused(folders, family, most):
    longest = "no " * 50
    encoder = text.TextEncoder(settings(folders(family), tokens=most))
    assert len(encoder.tokenize([longest])[0]) == most
    assert torch.isfinite(encoder.embed([longest])).all()
    with pytest.raises(EncoderError, match=f"reads {most} tokens at most, not {most + 1}"):
        text.TextEncoder(settings(folders(family), tokens=most + 1))


@pytest.mark.parametrize("family", ["t5", "xlnet"])
def test_families_that_know_distances_only_read_texts_of_any_length(folders, family):
    assert torch.isfinite(text.TextEncoder(settings(folders(family), tokens=700)).embed(["no " * 900])).all()


def test_a_tokeniser_without_any_special_token_stands_in_for_the_empty_text(folders, tmp_path):
    assert text.TextEncoder(settings(folders("gpt2"))).tokenize(["", "no"]) == [[3], [12]]
    bare = write_encoder(tmp_path, "gpt2", FAMILIES["gpt2"], special=False)
    about = json.loads((bare / "tokenizer_config.json").read_text())
    (bare / "tokenizer_config.json").write_text(json.dumps({**about, "unk_token": None}))
    encoder = text.TextEncoder(settings(bare))
    with pytest.raises(EncoderError, match=r"of the family 'gpt2' has no token for '', and none that could stand for"):
        encoder.tokenize([""])


def test_a_family_that_takes_no_tokens_is_named(tmp_path):
    write_encoder(tmp_path, "bert", USUAL)
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.AutoConfig.for_model("vit", **shape, image_size=4, patch_size=2)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(EncoderError, match="networks of the family 'vit' cannot embed a text by its tokens"):
        text.load_encoder(str(tmp_path))


def test_an_encoder_whose_answers_depend_on_the_padding_is_refused(folders, monkeypatch):
    monkeypatch.setattr(text, "_moved_by_padding", lambda _: 0.5)
    with pytest.raises(EncoderError, match=r"of the family 'bert' padding changes the other tokens by 0\.5"):
        text.load_encoder(str(folders("bert")))


def test_code_that_lies_beside_the_weights_is_not_run(folders, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(folders("bert"), folder)
    about = json.loads((folder / "config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}
    (folder / "config.json").write_text(json.dumps(about | own))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\nclass Model: pass\n")
    with pytest.raises(EncoderError, match="its configuration cannot be used"):
        text.TextEncoder(settings(folder))
    assert not (tmp_path / "ran").exists()


def test_a_tokeniser_that_cannot_be_read_is_named_with_its_family(folders, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(folders("roberta"), folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(EncoderError, match="of the family 'roberta': its tokeniser cannot be read"):
        text.TextEncoder(settings(folder))


@pytest.mark.parametrize("batch", [1, 3])
def test_bits_depend_neither_on_the_batch_nor_on_threads(folders, batch):
    encoder = text.TextEncoder(settings(folders("bert")))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = encoder.embed(TEXTS)
        torch.set_num_threads(2)
        assert torch.equal(encoder.embed(TEXTS), alone)
        assert torch.get_num_threads() == 2
        some = encoder.embed(TEXTS[::2], batch)
        assert torch.equal(some, encoder.embed(TEXTS, batch)[::2])
    finally:
        torch.set_num_threads(before)


def test_whatever_transformers_opens_says_that_no_code_is_run():
    calls = [
        (path.name, node)
        for path in Path(hub.__file__).parents[1].rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("from_pretrained", "from_config")
    ]
    assert len(calls) > 5
    safe = ("**LOCAL", "**known", "trust_remote_code=False")
    assert [(name, node.lineno) for name, node in calls if not any(word in ast.unparse(node) for word in safe)] == []
    assert hub.LOCAL["trust_remote_code"] is False
