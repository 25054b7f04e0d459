"""The card of a model that is passed on: what it is, what it was trained and tested on, and how well."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sercore import schema
from sercore.analysis import captions, statistics
from sercore.analysis.comparisons import DRAWS, FEWEST_SPEAKERS, SEED
from sercore.analysis.results import OFFICIAL, PERCENT, classes, scores
from sercore.analysis.tables import number_text
from sercore.inference.artifact import Trained
from sercore.schema import EMOTION, MODEL_LABELS, first
from sercore.settings import SPEECH_MODELS

LICENCES = {
    "iemocap": "IEMOCAP is licensed by the University of Southern California (SAIL) for research",
    "msp-podcast": "MSP-Podcast is licensed by the University of Texas at Dallas, by agreement with an institution",
}
WHAT = {
    "cnn14": "CNN14 on log-Mel spectrograms",
    "sfcnn14": "CNN14 on log-Mel spectrograms, its last block shifted by a projection of a text embedding",
    "mfcnn14": "CNN14 on log-Mel spectrograms, all six blocks shifted by projections of a text embedding",
    "bert": "a fine-tuned text encoder; it reads what is said and does not listen",
    **dict.fromkeys(SPEECH_MODELS, "encoder of the waveform and a linear layer; not the paper's, by its protocol"),
}
METRICS = {"uar": "UAR (%)", "ccc": "CCC", "pcc": "PCC"}


def card(what: Trained, predictions: pd.DataFrame, made: Mapping[str, Any], onnx: Mapping[str, Any] | None) -> str:
    """The card, in Markdown, of the model `what`, whose run made `predictions` and the provenance `made`.

    `onnx`: what exports recorded of the ONNX files, None where there are none.
    """
    title = f"{MODEL_LABELS[what.model]} of {schema.corpus_label(what.corpus)}: {', '.join(what.names)}"
    parts = [
        f"# {title}",
        *([SIMULATED] if what.simulated else []),
        f"{WHAT[what.model][0].upper()}{WHAT[what.model][1:]} (Triantafyllopoulos et al., *Multistage linguistic "
        f"conditioning of convolutional layers for speech emotion recognition*{SECTIONS.get(what.section, '')}).",
        "## Answers\n\n" + _answers(what),
        "## Use\n\n" + _use(what, onnx),
        "## Data and protocol\n\n" + _protocol(what, made),
        "## Scores\n\n" + _scores(what, predictions),
        "## Limits\n\n" + _limits(what),
        "## Licence\n\n" + _licence(what),
    ]
    return "\n\n".join(parts) + "\n"


SECTIONS = {"categories": ", section 5", "dimensions": ", section 6.1", "multitask": ", section 6.2"}
SIMULATED = (
    "> **SIMULATED SPEECH. Nobody said any of this.** The model was trained on nothing but speech that a synthesiser "
    "made, with emotions planted in it. It shows that the programs work. What it says of a person means nothing."
)


def _answers(what: Trained) -> str:
    if what.targets == (EMOTION,):
        members = [f"{name} (raters said {' or '.join(what.classes[name])})" for name in what.names]
        return "A probability for each of " + ", ".join(members) + "; they add up to 1, other emotions have no place."
    scale = "a scale that the run did not record" if what.scale is None else f"{what.scale[0]:g} to {what.scale[1]:g}"
    return (
        f"A rating of {', '.join(what.names)} on the training corpus's own scale, {scale}. Nothing keeps an answer "
        "within its ends."
    )


def _use(what: Trained, onnx: Mapping[str, Any] | None) -> str:
    text = ', texts=["what is said in it"]' if what.reads else ""
    told = [
        '```python\nfrom sercore.inference import predictor\n\npredict = predictor.load("this/folder")\n'
        f'predict(["speech.wav"]{text})\n```',
        "Weights are safetensors, settings JSON: nothing in the folder is executed. " + _networks(what),
    ]
    if what.model in SPEECH_MODELS:
        told.append(f"Front end: mono at {what.features.sample_rate} Hz, rounded to 16 bits; no features.")
    elif what.listens:
        front = what.features
        told.append(
            f"Front end: mono at {front.sample_rate} Hz; Hann window of {front.window} samples, hop {front.hop}, "
            f"mirrored ends; power in {front.mels} Slaney mel bands from {front.low:g} to {front.high:g} Hz; "
            "10 log10 max(power, 1e-10), rounded to float16. What is shorter than 32 frames is followed by silence."
        )
    if what.reads:
        use = "the mean of the token vectors of its last layer" if what.listens else "only its tokeniser is needed"
        told.append(
            f"Text encoder: `{what.text.encoder}`, cut at {what.text.tokens} tokens, {use}; its content must have the "
            f"fingerprint `{what.encoder}`. It is not in this folder; where it lies elsewhere, give its folder: "
            '`predictor.load(folder, encoder="...")`. The empty text is a text; a missing one is not.'
        )
    if onnx is not None:
        told.append(
            f"ONNX (opset {onnx['opset']}): {', '.join(f'`{name}`' for name in onnx['files'].values())} take "
            + "; ".join(f"`{name}` {shape}" for name, shape in onnx["inputs"].items())
            + f" and give `logits` (batch, {len(what.names)}), "
            + ("whose softmax are the probabilities." if what.targets == (EMOTION,) else "the ratings.")
            + f" Checked against PyTorch in onnxruntime: largest difference {max(onnx['difference'].values()):.1g}."
        )
    return "\n\n".join(told)


def _networks(what: Trained) -> str:
    if len(what.networks) == 1:
        return "There is one network."
    return (
        f"There are {len(what.networks)} networks, one for each speaker that was left out of training "
        f"({first(what.networks, most=20)}); their probabilities or ratings are averaged."
    )


def _protocol(what: Trained, made: Mapping[str, Any]) -> str:
    data = made["corpora"][what.corpus]
    kind = "synthesised speech" if what.simulated else "recorded speech"
    pretrained = what.network.pretrained if what.listens else None
    if what.network.encoder:
        pretrained = what.network.encoder
    start = f"the published weights of `{pretrained.rpartition('/')[2]}`" if pretrained else "Xavier initial weights"
    folds = list(what.networks)
    how = "the corpus's training partition, the epoch chosen on its development partition"
    if folds != [OFFICIAL]:
        how = (
            f"the splits {first(folds, most=20)}: a name is of the speaker that was left out, or says how the split "
            "was made; the epoch chosen on each split's development partition"
        )
    training = made["settings"]["training"]
    steps = [f"{training['epochs']} epochs at most", f"batches of {training['batch']}", f"seed {what.seed}"]
    return (
        f"{schema.corpus_label(what.corpus)}: {kind}, {data['utterances']} utterances, of which "
        f"{data['with_target']} have the targets. Trained on {how}, by "
        f"{captions.SELECTED_BY.get(what.section, 'development score')}. "
        f"{_transcripts(what)}Started from {start if what.listens else 'the text encoder'}; {', '.join(steps)}; "
        f"made with commit {made.get('commit')}{' with changes' if made.get('dirty') else ''}. "
        "Settings and versions: `settings.json`."
    )


def _transcripts(what: Trained) -> str:
    """Which transcripts a model that reads was trained and tested with."""
    if not what.reads:
        return ""
    told = f"It read the transcripts '{what.text.transcripts}'"
    told += f", {what.text.corruption:.0%} of their words made wrong" if what.text.corruption else ""
    return told + (", each of another utterance" if what.text.shuffled else "") + ". "


def _scores(what: Trained, predictions: pd.DataFrame) -> str:
    lines = [
        "| tested on | of | metric | score | 95 % over speakers | utterances | speakers |",
        "|---|---|---|---:|---|---:|---:|",
    ]
    labels = classes(predictions)
    found = scores(predictions[predictions["partition"] == "test"])
    for row in found[found["metric"].isin(METRICS) & found["pooling"].isin(("single", "pooled", "folds"))].itertuples():
        in_domain = row.train_corpus == row.test_corpus
        if in_domain and row.pooling == "folds":
            continue
        part = predictions[
            (predictions["partition"] == "test")
            & (predictions["test_corpus"] == row.test_corpus)
            & (predictions["target"] == row.target)
        ]
        speakers = part["speaker"].nunique()
        lines.append(
            f"| {schema.corpus_label(row.test_corpus)} | {row.target} | {METRICS[row.metric]} "
            f"| {number_text(row.score, row.metric)} | {_interval(part, row.metric, in_domain, labels, speakers)} "
            f"| {row.utterances} | {speakers} |"
        )
    averaged = (
        " Each network is scored on the speaker that it was not trained on; the average of the networks, which this "
        "folder gives, has no score here, because some of them were trained on every speaker."
        if len(what.networks) > 1
        else ""
    )
    simulated = " All of it is simulated speech." if predictions["simulated"].all() else ""
    return (
        "\n".join(lines)
        + f"\n\nIntervals: the test speakers resampled {DRAWS} times, the network taken as given; none with fewer than "
        f"{FEWEST_SPEAKERS} known speakers. Of one seed: another would score otherwise.{averaged}{simulated}"
    )


def _interval(part: pd.DataFrame, metric: str, in_domain: bool, labels: list[str], speakers: int) -> str:
    if speakers < FEWEST_SPEAKERS:
        return "not known"
    runs = ("seed",) if in_domain else ("seed", "fold")
    generator = np.random.default_rng(SEED)
    found = statistics.bootstrap_interval(part, metric, generator, draws=DRAWS, runs=runs, labels=labels)
    if not np.isfinite([found.low, found.high]).all():
        return "not known"
    unit = PERCENT if metric == "uar" else 1
    return f"{number_text(unit * found.low, metric)} to {number_text(unit * found.high, metric)}"


def _limits(what: Trained) -> str:
    said = {
        "iemocap": "It heard ten actors of one place, in English.",
        "msp-podcast": "It heard English podcasts.",
    }.get(what.corpus, f"It heard the speakers of {schema.corpus_label(what.corpus)} and nobody else.")
    if what.simulated:
        said = "It heard a synthesiser, in English."
    words = " What it is given as text counts: errors of speech recognition change its answers." if what.reads else ""
    return (
        f"{said} Other languages, rooms, microphones and ways to show feelings were not tested; the table "
        "above says how far scores fall on another corpus, where one was tried. The answers guess what raters would "
        f"have said, not what somebody feels; probabilities are not calibrated.{words} Not for decisions about people."
    )


def _licence(what: Trained) -> str:
    if what.simulated:
        owner = "The training speech was synthesised by the project (espeak-ng); no corpus's licence is in the weights."
    else:
        owner = (
            f"{LICENCES.get(what.corpus, f'The corpus {schema.corpus_label(what.corpus)} has a licence of its own')}: "
            "weights that were trained on it carry its terms. Pass them on only to whom and for what these allow."
        )
    parts = [owner, "The code is MIT."]
    if what.reads:
        parts.append(f"The text encoder `{what.text.encoder}` has a licence of its own.")
    if what.listens and (what.network.pretrained or what.network.encoder):
        parts.append("The published weights that training started from have a licence of their own.")
    return " ".join(parts)
