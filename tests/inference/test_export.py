"""An exported model gives the run's own predictions, as safetensors and as ONNX, and says what it is."""

import dataclasses
import importlib.util
import json
import shutil

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from huggingface_hub import ModelCard
from small_runs import calibrated, tiny_encoder, train

from sercore import corpora, files
from sercore.analysis import confidence
from sercore.commands import cli
from sercore.features import audio, hub
from sercore.features.text import TextEncoder
from sercore.inference import artifact, card, export, predictor, stages
from sercore.models import checkpoint


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    return {"encoder": tiny_encoder(tmp_path_factory.mktemp("bert")), "tokens": 16}


@pytest.fixture(scope="module")
def fusion(embedded, text, tmp_path_factory):
    """Categories by MFCNN14, a quarter of whose logits a regression gives, of a corpus with official partitions."""
    network = {"width": 2, "regression": 0.25}
    return train(tmp_path_factory.mktemp("fusion"), embedded, "categories", model="mfcnn14", text=text, network=network)


@pytest.fixture(scope="module")
def exported(fusion, tmp_path_factory):
    """The fusion model, exported with ONNX."""
    return export.export(fusion, tmp_path_factory.mktemp("exported") / "fusion", onnx=True)


def of_test_set(run, embedded, utterances=40):
    """The run's own predictions of its test set, and the rows of the corpus that they are of."""
    table = pd.read_parquet(run / files.PREDICTIONS)
    home = table[(table["partition"] == "test") & (table["test_corpus"] == table["train_corpus"])]
    (name,) = home["train_corpus"].unique()
    options = dict(embedded[name])
    corpus = corpora.read(name, options.pop("root"), **options)
    own = home[home["utterance"].isin(home["utterance"].unique()[:utterances])]
    return own, corpus, corpus.utterances.set_index("utterance").loc[own["utterance"].unique()]


def test_the_folder_gives_the_runs_own_predictions(exported, fusion, embedded):
    own, corpus, rows = of_test_set(fusion, embedded)
    predict = predictor.load(exported)
    answers = predict([corpus.root / file for file in rows["file"]], rows["transcript"].tolist())
    expected = calibrated(own, predict.trained.confidence)
    for name in ("p_angry", "p_happy", "p_neutral", "p_sad"):
        np.testing.assert_allclose(answers[name], expected[name], atol=1e-4)


def test_the_folder_has_no_test_utterances_to_be_told_something_else(exported, embedded, tmp_path):
    with pytest.raises(ValueError, match="was exported: it has no test utterances of its own; name recordings"):
        stages.of_run(exported, embedded, tmp_path)


def test_onnx_gives_the_runs_own_predictions(exported, fusion, embedded):
    own, corpus, rows = of_test_set(fusion, embedded, 7)
    trained = artifact.read(exported)
    sounds = [audio.read_audio(corpus.root / file) for file in rows["file"]]
    frames = [audio.log_mel(sound, trained.features).half().float() for sound in sounds]
    text = TextEncoder(trained.text).embed(rows["transcript"].tolist()).numpy()
    padded = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True, padding_value=audio.FLOOR).numpy()
    lengths = np.array([len(part) for part in frames])
    assert len(set(lengths)) > 1
    logits = export.answer(exported / "official.onnx", [padded, lengths, text])
    odds = np.exp(logits)
    shares = odds / odds.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, own[["p_angry", "p_happy", "p_neutral", "p_sad"]], atol=1e-4)
    alone = export.answer(exported / "official.onnx", [frames[3][None].numpy(), lengths[3:4], text[3:4]])
    np.testing.assert_allclose(alone[0], logits[3], atol=1e-4)


def test_parity_is_recorded(exported):
    recorded = files.read_json(exported / "settings.json")["onnx"]
    assert 0 <= recorded["difference"]["official"] <= recorded["tolerance"] == 1e-4
    assert list(recorded["inputs"]) == ["logmel", "frames", "text"]
    assert "largest difference" in (exported / "README.md").read_text()


def test_onnx_that_is_of_another_network_is_refused(exported):
    model, _ = checkpoint.load(exported / "official.safetensors")
    assert export.check(model, exported / "official.onnx") <= 1e-4
    model.output.bias.data += 0.001
    with pytest.raises(ValueError, match=r"answers differ from PyTorch's by 0.001, more than 0.0001"):
        export.check(model, exported / "official.onnx")


@pytest.mark.long
def test_the_text_model_and_a_full_size_one_become_onnx(embedded, text, tmp_path):
    run = train(tmp_path, embedded, "categories", model="bert", text=text)
    export.export(run, tmp_path / "out", onnx=True)
    own, corpus, rows = of_test_set(run, embedded)
    files_of = [corpus.root / file for file in rows["file"]]
    predict = predictor.load(tmp_path / "out")
    answers = predict(files_of, rows["transcript"].tolist())
    np.testing.assert_allclose(answers["p_sad"], calibrated(own, predict.trained.confidence)["p_sad"], atol=1e-4)
    ids = TextEncoder(artifact.read(run).text).tokenize(rows["transcript"].tolist())
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(part) for part in ids], batch_first=True).numpy()
    mask = np.arange(tokens.shape[1]) < np.array([[len(part)] for part in ids])
    odds = np.exp(export.answer(tmp_path / "out" / "official.onnx", [tokens, mask]))
    np.testing.assert_allclose((odds / odds.sum(1, keepdims=True))[:, 3], own["p_sad"], atol=1e-4)
    full = checkpoint.build({"kind": "cnn14", "outputs": 3}, torch.Generator().manual_seed(0)).eval()
    assert export.write_onnx(full, tmp_path / "full.onnx") < 1e-4


def test_each_fold_is_exported_and_their_mean_is_the_answer(embedded, tmp_path):
    run = train(tmp_path, embedded, "dimensions", corpus="iemocap", target="valence", folds=["Ses01F", "Ses02M"])
    export.export(run, tmp_path / "all")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "README.md",
        "Ses01F.safetensors",
        "Ses02M.safetensors",
        "settings.json",
    ]
    _, corpus, rows = of_test_set(run, embedded, 1)
    path = corpus.root / rows["file"].iloc[0]
    mean = predictor.load(tmp_path / "all")(path)
    assert mean["scale"].tolist() == ["1 to 5"]
    parts = [predictor.load(run / f"fold={fold}")(path)["valence"].iloc[0] for fold in ("Ses01F", "Ses02M")]
    assert mean["valence"].iloc[0] == pytest.approx(np.mean(parts), abs=1e-4)
    export.export(run / "fold=Ses01F", tmp_path / "one")
    assert predictor.load(tmp_path / "one")(path)["valence"].iloc[0] == pytest.approx(parts[0], abs=1e-4)
    card = (tmp_path / "all" / "README.md").read_text()
    assert "probabilities or ratings are averaged" in card
    (row,) = [line for line in card.splitlines() if line.startswith("| valence | ± ")]
    table = artifact.predictions(run).query("test_corpus == 'iemocap'")
    distances = (table["truth"].astype(float) - table["prediction"].astype(float)).abs()
    development = distances[table["partition"] == "development"].sort_values(ignore_index=True)
    half_width = development[int(np.ceil(0.9 * (len(development) + 1))) - 1]
    held = (distances[table["partition"] == "test"] <= half_width).mean()
    count = (table["partition"] == "test").sum()
    assert row == f"| valence | ± {half_width:.2f} | {held:.1%} of {count} |"
    assert predictor.load(tmp_path / "all").trained.half_widths == {"valence": half_width}
    assert "has no score here" in card


def test_names_with_slashes_are_files_in_the_folder(embedded, tmp_path, monkeypatch):
    run = train(tmp_path, embedded, "dimensions", corpus="iemocap", target="valence", folds=["Ses01F"])
    trained = artifact.read(run)
    weights = tmp_path / "1089%2F134.safetensors"
    shutil.copy(trained.networks["Ses01F"], weights)

    def write(_model, path, _longest):
        graph = onnx.helper.make_graph([], "none", [], [])
        onnx.save(onnx.helper.make_model(graph), path)
        return 0.0

    monkeypatch.setattr(export, "write_onnx", write)
    content = export._write_all(dataclasses.replace(trained, networks={"1089/134": weights}), tmp_path)
    assert content["files"] == {"1089/134": "1089%2F134.onnx"}
    assert (tmp_path / "1089%2F134.onnx").is_file()


def test_the_card_says_what_the_model_is_and_that_its_speech_was_simulated(exported, fusion):
    text = ModelCard.load(exported / "README.md").text
    assert "Started from Xavier initial weights, PROJ as PyTorch's linear layer does; " in text
    assert text.lstrip().splitlines()[2].startswith("> **SIMULATED SPEECH. Nobody said any of this.**")
    (row,) = [line for line in text.splitlines() if line.startswith("| MSP-Podcast | emotion | UAR (%)")]
    table = pd.read_parquet(fusion / files.PREDICTIONS)
    own = table[(table["partition"] == "test") & (table["test_corpus"] == "msp-podcast")]
    recalls = (own["truth"] == own["prediction"]).groupby(own["truth"]).mean()
    assert f"| {100 * recalls.mean():.1f} |" in row
    assert int(row.split("|")[-2]) == own["speaker"].nunique()
    assert row.split("|")[5].strip() == "not known" or " to " in row
    assert hub.encoder_fingerprint(artifact.read(exported).text) in text
    assert "workplace or in education institutions is prohibited" in text
    groups = [line for line in text.splitlines() if line.startswith("| emotion | UAR (%) |")]
    women = own[own["gender"] == "female"]
    of_women = 100 * (women["truth"] == women["prediction"]).groupby(women["truth"]).mean().mean()
    assert any("| female − male |" in line and f"| {of_women:.1f} and " in line for line in groups)
    assert any(f"lowest and highest of {own['speaker'].nunique()} speakers" in line for line in groups)


def test_the_card_says_which_epoch_is_kept(exported, fusion):
    trained, predictions = artifact.read(exported), artifact.predictions(fusion)
    provenance = files.read_json(fusion / files.PROVENANCE)
    text = card.card(trained, predictions, provenance, None).text
    assert "; the epoch chosen on its development partition, by" in text
    assert f"{provenance['settings']['training']['epochs']} epochs at most, batches of" in text
    provenance["settings"]["training"]["kept_epoch"] = "last"
    text = card.card(trained, predictions, provenance, None).text
    assert "; the last epoch is kept." in text
    assert "at most" not in text


def test_the_header_of_the_card_is_what_the_hub_reads(exported, fusion):
    header = ModelCard.load(exported / "README.md").data
    assert (header.language, header.license) == ("en", "mit")
    assert header.datasets == ["synthetic-msp-podcast"]
    assert header.metrics == ["uar"]
    assert {"speech-emotion-recognition", "mfcnn14", "categories", "simulated-speech"} <= set(header.tags)
    results = {result.dataset_type: result for result in header.eval_results}
    own = results["synthetic-msp-podcast"]
    assert (own.dataset_name, own.dataset_split) == ("MSP-Podcast (simulated speech)", "test")
    table = pd.read_parquet(fusion / files.PREDICTIONS).query("partition == 'test' and test_corpus == 'msp-podcast'")
    recalls = (table["truth"] == table["prediction"]).groupby(table["truth"]).mean()
    assert own.metric_value == pytest.approx(100 * recalls.mean(), abs=0.051)


def test_the_card_of_licensed_speech_carries_its_terms(exported, fusion):
    trained = dataclasses.replace(artifact.read(exported), simulated=False)
    provenance = files.read_json(fusion / files.PROVENANCE)
    predictions = artifact.predictions(fusion).assign(simulated=False)
    nobody = predictions.assign(speaker=None, gender=None, style=None)
    assert "have no groups that could be compared" in card.card(trained, nobody, provenance, None).text
    own = card.card(trained, predictions, provenance, None)
    assert "SIMULATED" not in own.text
    assert "MSP-Podcast is licensed by the University of Texas at Dallas" in own.text
    assert "weights that were trained on it carry its terms" in own.text
    assert "It was trained on English podcasts. Other languages" in own.text
    assert (own.data.license, own.data.license_name) == ("other", "terms-of-the-training-data")
    assert own.data.datasets == ["msp-podcast"]
    assert "simulated-speech" not in own.data.tags


def test_the_card_of_a_corpus_of_ones_own_claims_neither_language_nor_licence(exported, fusion):
    trained = dataclasses.replace(artifact.read(exported), simulated=False, corpus="my corpus")
    provenance = files.read_json(fusion / files.PROVENANCE)
    provenance["corpora"]["my corpus"] = provenance["corpora"]["msp-podcast"]
    predictions = artifact.predictions(fusion).replace({"train_corpus": {"msp-podcast": "my corpus"}})
    own = card.card(trained, predictions, provenance, None)
    assert own.data.language is None
    assert own.data.datasets == ["my-corpus"]
    assert "The corpus my corpus has a licence of its own" in own.text
    assert "trained on the speakers of my corpus and nobody else" in own.text


def test_the_temperature_is_kept_with_the_model_and_changes_probabilities_alone(exported, fusion):
    own = artifact.predictions(fusion)
    known = confidence.of_run(own)
    assert known.utterances == own.query("partition == 'development'")["utterance"].nunique() >= confidence.FEWEST
    trained = artifact.read(exported)
    assert trained.confidence == known == artifact.read(fusion).confidence
    (stored,) = onnx.load(exported / "official.onnx").metadata_props
    assert (stored.key, float(stored.value)) == ("temperature", known.temperature)
    text = (exported / "README.md").read_text()
    assert f"`confidence` is {known}." in text
    assert f"once they are divided by {known.temperature:.6g} (`temperature` in the file's metadata)" in text


def test_the_card_says_how_far_probabilities_are_off_and_what_rejection_gains(exported, fusion):
    text = (exported / "README.md").read_text()
    own, known = artifact.predictions(fusion), artifact.read(exported).confidence
    for partition in ("development", "test"):
        part = own[(own["partition"] == partition) & (own["test_corpus"] == "msp-podcast")]
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {partition}, MSP-Podcast |")]
        cells = [cell.strip() for cell in row.split("|")[2:-1]]
        right = part["truth"] == part["prediction"]
        sure = part[[f"p_{name}" for name in ("angry", "happy", "neutral", "sad")]].max(axis=1)
        calibrated_sure = calibrated(part, known).max(axis=1)
        errors = [confidence.calibration_error(of.to_numpy(), right.to_numpy()) for of in (sure, calibrated_sure)]
        assert cells[:2] == [str(len(part)), str(part["speaker"].nunique())]
        assert cells[2:5] == [f"{100 * share:.1f}" for share in (right.mean(), *errors)]
    assert "| test, IEMOCAP |" in text
    point = known.at(known.threshold(coverage=0.5))
    test = own.query("partition == 'test' and test_corpus == 'msp-podcast'")
    answered = (calibrated(test, known).max(axis=1) >= point.threshold).to_numpy()
    right = (test["truth"] == test["prediction"]).to_numpy()[answered]
    shares = [f"{100 * share:.1f}" for share in (point.coverage, point.error, answered.mean(), 1 - right.mean())]
    assert f"| {point.threshold:.3f} | {' | '.join(shares)} |" in text.splitlines()
    assert f"{100 * known.area:.1f} % on development" in text
    assert "probabilities are calibrated for speech like that of development alone" in text


def test_a_model_without_usable_development_says_so_and_keeps_its_probabilities(fusion, tmp_path):
    run = shutil.copytree(fusion, tmp_path / "run")
    table = pd.read_parquet(run / files.PREDICTIONS)
    table[table["partition"] == "test"].to_parquet(run / files.PREDICTIONS, index=False)
    text = (export.export(run, tmp_path / "out") / "README.md").read_text()
    assert "as the network gives it (not calibrated: the run has no development predictions)." in text
    assert "So there is no calibration error, and no threshold for a coverage or an error." in text
    assert "; probabilities are not calibrated. Its answers depend on the text" in text
    assert artifact.read(tmp_path / "out").confidence.temperature == 1


def test_a_threshold_that_no_test_utterance_reaches_is_a_row_without_test():
    known = confidence.Confidence(curve=(confidence.Point(0, 1, 0.5), confidence.Point(0.9, 0.5, 0.25)), area=0.4)
    unsure = confidence.rejection_curve(np.array([0.8, 0.7]), np.array([True, False]))
    lines = card._rejection(known, unsure).splitlines()
    assert "| 0.000 | 100.0 | 50.0 | 100.0 | 50.0 |" in lines
    assert "| 0.900 | 50.0 | 25.0 | none |  |" in lines


def test_a_mean_of_networks_says_that_their_temperature_is_of_single_ones(exported, fusion):
    trained = artifact.read(exported)
    two = dataclasses.replace(trained, networks={"a": trained.networks["official"], "b": trained.networks["official"]})
    provenance, onnx_files = files.read_json(fusion / files.PROVENANCE), files.read_json(exported / "settings.json")
    text = card.card(two, artifact.predictions(fusion), provenance, onnx_files["onnx"]).text
    assert "the mean of the networks, which is the answer, is on the whole less sure than one of them" in text
    assert "averaged over the files, to the power of 1 / " in text
    known = dataclasses.replace(trained, confidence=confidence.Confidence(note="of old"))
    text = card.card(known, artifact.predictions(fusion), provenance, onnx_files["onnx"]).text
    assert "whose softmax are the probabilities." in text


def test_nothing_in_the_folder_is_a_pickle(exported):
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "official.onnx",
        "official.safetensors",
        "settings.json",
    ]
    assert int.from_bytes((exported / "official.safetensors").read_bytes()[:8], "little") < 100_000  # a JSON header


def test_the_error_for_what_cannot_be_exported_says_why(fusion, exported, tmp_path, capsys):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("draft")
    with pytest.raises(FileExistsError, match="is there already; remove it or name another"):
        export.export(fusion, tmp_path / "full")
    with pytest.raises(ValueError, match="was exported already: copy the folder"):
        export.export(exported, tmp_path / "again")
    assert cli.main(["export", str(tmp_path / "nowhere"), str(tmp_path / "out")]) == 2
    assert "no folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.fixture
def copy(exported, tmp_path):
    """The exported folder without ONNX, to be spoilt."""
    for name in ("settings.json", "official.safetensors"):
        (tmp_path / name).write_bytes((exported / name).read_bytes())
    return tmp_path


def test_what_an_older_version_exported_keeps_its_probabilities_and_says_so(copy):
    content = json.loads((copy / "settings.json").read_text())
    del content["confidence"], content["half_widths"]
    (copy / "settings.json").write_text(json.dumps(content))
    trained = artifact.read(copy)
    assert trained.confidence.temperature == 1
    assert "it was exported before a temperature was kept with a model" in str(trained.confidence)
    assert trained.half_widths == {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"confidence": {"temperature": 0.0}}, "Confidence.temperature: expected more than 0"),
        ({"confidence": {"temprature": 1.0}}, "Confidence has no 'temprature'; did you mean 'temperature'"),
        ({"format": 0}, "is of format 0, expected 1"),
        ({"networks": {"official": "../elsewhere.safetensors"}}, "names networks that are not in it"),
        ({"networks": {"official": "other.safetensors"}}, "names networks that are not in it, other.safetensors"),
        ({"encoder": "0000"}, r"is not the one of the training: its content is \w+, expected 0000"),
        ({"classes": {"angry": ["angry"], "sad": ["sad"]}}, "gives 4 numbers, expected 2"),
        ({"features": {"mels": 64}}, "takes 32 mels, the settings say 64"),
        ({"features": {"mel": 64}}, "FeatureSettings has no 'mel'; did you mean 'mels'"),
        ({"model": "mfcnn15"}, "holds a model 'mfcnn15', which cannot be used here"),
    ],
)
def test_the_error_for_a_folder_that_does_not_fit_together_says_why(copy, change, complaint):
    content = json.loads((copy / "settings.json").read_text())
    (copy / "settings.json").write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=complaint):
        predictor.load(copy)


def test_the_command_prints_what_it_wrote_and_how_onnx_compares(fusion, tmp_path, capsys):
    assert cli.main(["export", str(fusion), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "official.safetensors" in printed
    assert "`sercore predict" in printed
    assert "answers differ" not in printed
    assert f"hf upload YOU/out {tmp_path / 'out'} --private" in printed
    assert cli.main(["export", str(fusion / "fold=official"), str(tmp_path / "onnx"), "--onnx"]) == 0
    assert "official.onnx: answers differ from PyTorch's by" in capsys.readouterr().out


def test_without_the_packages_of_onnx_nothing_is_written(fusion, tmp_path, monkeypatch, capsys):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    assert cli.main(["export", str(fusion), str(tmp_path / "out"), "--onnx"]) == 2
    assert "ONNX needs onnxscript: pip install 'sercore[onnx]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_speech_encoder_is_not_written_as_onnx(fusion, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(fusion, run)
    pd.read_parquet(run / files.PREDICTIONS).assign(model="wavlm").to_parquet(run / files.PREDICTIONS, index=False)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    arguments = {"kind": "speech", "encoder": "none", "family": "wavlm", "outputs": 4, "normalise": True}
    model = checkpoint.build({**arguments, "architecture": {"model_type": "wavlm", **small}})
    checkpoint.save(model, arguments, run / "fold=official" / files.CHECKPOINT)
    with pytest.raises(ValueError, match="wavlm cannot be written as ONNX here; export it without --onnx"):
        export.export(run, tmp_path / "out", onnx=True)
    assert not (tmp_path / "out").exists()
