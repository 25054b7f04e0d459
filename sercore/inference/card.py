"""The card of an exported model: what it is, what it was trained and tested on, and how well.

A README in Markdown with the YAML header that the Hugging Face hub reads, the results as its `model-index`.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from sercore import settings
from sercore.analysis import baseline, captions, confidence, statistics
from sercore.analysis.baseline import Gain
from sercore.analysis.checklist import PROHIBITED
from sercore.analysis.comparisons import DRAWS, FEWEST_SPEAKERS, SEED, group_gaps, interval, signed, speaker_spread
from sercore.analysis.confidence import Confidence
from sercore.analysis.results import OFFICIAL, PERCENT, classes, main_metric, scores
from sercore.analysis.tables import number_text
from sercore.datasets import normalisation
from sercore.inference.artifact import Trained
from sercore.registry import CORPORA, METRICS, MODELS, SECTIONS
from sercore.schema import EMOTION, first
from sercore.settings import NormalisationSettings, stages_of

SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25)  # of development utterances, whose thresholds are shown
TASK = "speech-emotion-recognition"
SIMULATED = (
    "> **SIMULATED SPEECH. Nobody said any of this.** The model was trained on nothing but synthesised speech, whose "
    "emotions were made by rule. It shows that the programs work. What it predicts for a person means nothing."
)


def card(
    trained: Trained,
    predictions: pd.DataFrame,
    provenance: Mapping[str, Any],
    onnx: Mapping[str, Any] | None,
    gains: Sequence[Gain] = (),
) -> ModelCard:
    """The card of a model.

    Args:
        trained: The model.
        predictions: The predictions table of its run.
        provenance: The run's provenance.json.
        onnx: What export recorded of the ONNX files; None where there are none.
        gains: Of the run over its baseline, where it has one.
    """
    title = f"{MODELS.label(trained.model)} of {CORPORA.label(trained.corpus)}: {', '.join(trained.names)}"
    results = _results(trained, predictions)
    summary = MODELS[trained.model].summary
    section = f", section {SECTIONS[trained.section].paper}" if trained.section in SECTIONS else ""
    parts = [
        f"# {title}",
        *([SIMULATED] if trained.simulated else []),
        f"{summary[0].upper()}{summary[1:]} (Triantafyllopoulos et al., *Multistage linguistic "
        f"conditioning of convolutional layers for speech emotion recognition*{section}).{_conditioning(trained)}",
        "## Answers\n\n" + _answers(trained),
        "## Use\n\n" + _use(trained, onnx),
        "## Data and protocol\n\n" + _protocol(trained, provenance),
        "## Scores\n\n" + _scores(trained, predictions, results) + _beside(gains),
        *([f"## {title}\n\n{text}" for title, text in _certainty(trained, predictions)]),
        "## Groups\n\n" + _groups(trained, predictions),
        "## Limits\n\n" + _limits(trained),
        "## Licence\n\n" + _licence(trained),
    ]
    body = "\n\n".join(parts) + "\n"
    return ModelCard(f"---\n{_header(trained, results, title).to_yaml()}\n---\n\n{body}")


def _header(trained: Trained, results: pd.DataFrame, title: str) -> ModelCardData:
    """What the hub's search and tables read of the card."""
    english = trained.simulated or (trained.corpus in CORPORA and CORPORA[trained.corpus].in_paper)
    free = trained.simulated and not (trained.network.pretrained or trained.network.encoder or not trained.uses_audio)
    scored = results[results["score"].notna()]
    return ModelCardData(
        language="en" if english else None,
        license="mit" if free else "other",
        license_name=None if free else "terms-of-the-training-data",
        library_name="sercore",
        pipeline_tag="audio-classification" if trained.uses_audio else "text-classification",
        tags=[TASK, trained.model, trained.section, *(["simulated-speech"] if trained.simulated else [])],
        datasets=[_dataset(trained.corpus, trained.simulated)],
        metrics=list(dict.fromkeys(scored["metric"])),
        model_name=title,
        eval_results=[
            EvalResult(
                task_type=TASK,
                task_name=f"Speech emotion recognition: {row.target}",
                dataset_type=_dataset(row.test_corpus, row.simulated),
                dataset_name=CORPORA.label(row.test_corpus) + (" (simulated speech)" if row.simulated else ""),
                dataset_config=row.target,  # results of one task and data set are listed together
                dataset_split="test",
                metric_type=row.metric,
                metric_name=f"{METRICS[row.metric].axis} of {row.target}",
                metric_value=round(float(row.score), METRICS[row.metric].digits),
            )
            for row in scored.itertuples()
        ]
        or None,
    )


def _conditioning(trained: Trained) -> str:
    """Where it is not the one that the model is named after: which blocks the text conditions, and how."""
    network = trained.network
    own, stages = MODELS[trained.model].text_stages, stages_of(trained.model, network)
    if not own or (stages == own and network.mechanism == "shift" and not network.text_dropout):
        return ""
    if not stages:
        return " **Here without any text**: no block is conditioned, so it is CNN14."
    how = {
        "shift": "shifted",
        "film": "scaled and shifted (FiLM)",
        "concat": "mixed with it by a linear layer",
        "gate": "shifted as far as a gate is open for the text",
    }[network.mechanism]
    dropped = (
        f" In training the text of {network.text_dropout:.0%} of the utterances was replaced by the mean embedding, "
        "which also stands for a text that is not known."
        if network.text_dropout
        else ""
    )
    return f" **Here the blocks {', '.join(map(str, stages))}** are {how}.{dropped}"


def _dataset(corpus: str, simulated: bool) -> str:
    """The id of a corpus: letters, digits, hyphens."""
    return re.sub(r"[^\w.-]+", "-", f"synthetic-{corpus}" if simulated else corpus).strip("-.")


def _answers(trained: Trained) -> str:
    if trained.targets == (EMOTION,):
        members = [f"{name} (rated as {' or '.join(trained.classes[name])})" for name in trained.names]
        return (
            "A probability for each of "
            + ", ".join(members)
            + "; they add up to 1, other emotions have no place. `confidence` is that of the class that is named."
        )
    scale = trained.scale
    ends = "a scale that the run did not record" if scale is None else f"{scale[0]:g} to {scale[1]:g}"
    return (
        f"A rating of {', '.join(trained.names)} on the training corpus's own scale, {ends}. Nothing keeps an answer "
        "within its ends."
    )


def _use(trained: Trained, onnx: Mapping[str, Any] | None) -> str:
    text = ', texts=["the transcript of it"]' if trained.uses_text else ""
    paragraphs = [
        '```python\nfrom sercore.inference import predictor\n\npredict = predictor.load("this/folder")\n'
        f'predict(["speech.wav"]{text})\n```',
        "Weights are safetensors, settings JSON: nothing in the folder is executed. " + _networks(trained),
    ]
    front = trained.features
    if trained.takes == "waveform":
        paragraphs.append(f"Front end: mono at {front.sample_rate} Hz, rounded to 16 bits; no features.")
    elif trained.takes == "log_mel":
        paragraphs.append(
            f"Front end: mono at {front.sample_rate} Hz; Hann window of {front.window} samples, hop {front.hop}, "
            f"mirrored ends; power in {front.mels} Slaney mel bands from {front.low:g} to {front.high:g} Hz; "
            "10 log10 max(power, 1e-10), rounded to float16. What is shorter than 32 frames is followed by silence."
        )
    if trained.normalisation is not None:
        paragraphs.append(_normalised(trained.normalisation))
    if trained.network.regression:
        paragraphs.append(
            "**Regression**: the logits (of ratings the ratings) are averaged with those of a linear regression on "
            "each mel band's mean, less the mean of all, and deviation, of the bands below 4 kHz, which has a share of "
            f"{trained.network.regression:.0%}; where these are farther from their mean than in all of training, the "
            "network answers alone."
        )
    if trained.uses_text:
        use = "the mean of the token vectors of its last layer" if trained.uses_audio else "only its tokeniser is used"
        paragraphs.append(
            f"Text encoder: `{trained.text.encoder}`, cut at {trained.text.tokens} tokens, {use}; its content must "
            f"have the fingerprint `{trained.encoder}`. It is not in this folder; where it lies elsewhere, give its "
            'folder: `predictor.load(folder, encoder="...")`. The empty text is a text; a missing one is not'
            + (", and may be missing (None)." if trained.network.text_dropout else ".")
        )
    if onnx is not None:
        paragraphs.append(
            f"ONNX (opset {onnx['opset']}): {', '.join(f'`{name}`' for name in onnx['files'].values())} take "
            + "; ".join(f"`{name}` {shape}" for name, shape in onnx["inputs"].items())
            + f" and give `logits` (batch, {len(trained.names)}), "
            + ("the ratings." if trained.confidence is None else _softmax(trained))
            + f" Checked against PyTorch in onnxruntime: largest difference {max(onnx['difference'].values()):.1g}."
        )
    return "\n\n".join(paragraphs)


def _normalised(normalised: NormalisationSettings) -> str:
    """How log-mels are normalised, and what that asks of whoever predicts."""
    how = {
        "utterance": "One that is predicted in windows counts each of them as an utterance.",
        "speaker": "Give all recordings of a speaker together, with who talks: `predict(files, speakers=[...])`, or a "
        "table with the columns `file` and `speaker`. One without a speaker is normalised by itself, with a warning.",
        "corpus": "The recordings of one call count as its corpus: give together what was recorded alike.",
    }[normalised.over]
    return (
        f"**Normalised**: {normalisation.described(normalised)} is brought to {normalisation.LEVEL:g} dB, digital "
        f"silence left out. {how}"
    )


def _softmax(trained: Trained) -> str:
    """How the logits of ONNX files become the probabilities that `predict` gives."""
    if trained.confidence is None or trained.confidence.temperature == 1:
        return "whose softmax are the probabilities."
    if len(trained.networks) == 1:
        return (
            f"whose softmax, once they are divided by {trained.confidence.temperature:.6g} (`temperature` in the "
            "file's metadata), are the probabilities."
        )
    return (
        "whose softmax, averaged over the files, to the power of 1 / "
        f"{trained.confidence.temperature:.6g} (`temperature` in the files' metadata) and in sum 1 again, are the "
        "probabilities."
    )


def _networks(trained: Trained) -> str:
    if len(trained.networks) == 1:
        return "There is one network."
    return (
        f"There are {len(trained.networks)} networks, one for each speaker that was left out of training "
        f"({first(trained.networks, most=20)}); their probabilities or ratings are averaged."
    )


def _protocol(trained: Trained, provenance: Mapping[str, Any]) -> str:
    data = provenance["corpora"][trained.corpus]
    kind = "synthesised speech" if trained.simulated else "recorded speech"
    pretrained = trained.network.encoder or trained.network.pretrained
    start = f"the published weights of `{pretrained.rpartition('/')[2]}`" if pretrained else "Xavier initial weights"
    if stages_of(trained.model, trained.network):
        how_projected = {"default": "as PyTorch's linear layer does", "xavier": "Xavier-uniform", "zero": "at zero"}
        start += f", PROJ {how_projected[trained.network.projection]}"
    folds = list(trained.networks)
    how, whose = "the corpus's training partition", "its"
    if folds != [OFFICIAL]:
        whose, how = "each split's", f"the splits {first(folds, most=20)}: a name is of the speaker that was left out, "
        how += "or says how the split was made"
    training = provenance["settings"]["training"]
    selected_by = SECTIONS[trained.section].selected_by if trained.section in SECTIONS else "development score"
    last = training.get("kept_epoch") == "last"
    chosen = f"the epoch chosen on {whose} development partition, by {selected_by}"
    how += f"; {'the last epoch is kept' if last else chosen}"
    share = training.get("data_share", 1)
    part = f"{share:.0%} of the training utterances, drawn by the seed; " if share < 1 else ""
    patience = training.get("patience")
    end = f", fewer where {patience} of them bring no better score" if patience else ""
    recipe = f" {captions.recipe_text(provenance['recipe'])}" if "recipe" in provenance else ""
    steps = [
        f"{training['epochs']} epochs{'' if last else ' at most'}{end}",
        f"batches of {training['batch']}",
        f"seed {trained.seed}",
    ]
    return (
        f"{CORPORA.label(trained.corpus)}: {kind}, {data['utterances']} utterances, of which "
        f"{data['with_target']} have the targets. Trained on {part}{how}. "
        f"{_transcripts(trained)}Started from {start if trained.uses_audio else 'the text encoder'}; "
        f"{', '.join(steps)}; "
        f"{_augmented(training)}"
        f"made with commit {provenance.get('commit')}{' with changes' if provenance.get('dirty') else ''}. "
        f"Settings and versions: `settings.json`.{recipe}"
    )


def _beside(gains: Sequence[Gain]) -> str:
    """A paragraph about the run beside its baseline; nothing where it has none."""
    if not gains:
        return ""
    scored = "; ".join(str(gain) for gain in gains)
    short = [gain.target for gain in gains if not gain.better]
    warning = f" **For {first(short)} the model is not better than that.**" if short else ""
    return f"\n\nBeside {baseline.WHAT}: {scored}.{warning}"


def _augmented(training: Mapping[str, Any]) -> str:
    """How training utterances were changed by chance, with its last semicolon; nothing where they were not."""
    values = training.get("augmentation")
    return f"augmented ({settings.build(settings.AugmentationSettings, values)}); " if values else ""


def _transcripts(trained: Trained) -> str:
    """Which transcripts a model with text was trained and tested with."""
    if not trained.uses_text:
        return ""
    text = trained.text
    wrong = f", {text.corruption:.0%} of their words made wrong" if text.corruption else ""
    return f"Transcripts: '{text.transcripts}'{wrong}{', each of another utterance' if text.shuffled else ''}. "


def _results(trained: Trained, predictions: pd.DataFrame) -> pd.DataFrame:
    """The scores of the test utterances, one row for each corpus, target and metric.

    Columns: test_corpus, target, metric, score, low and high (95 % over speakers; NaN: not known), utterances,
    speakers, simulated.
    """
    labels = classes(predictions)
    test = predictions[predictions["partition"] == "test"]
    table = scores(test)
    shown = table["metric"].map(lambda name: METRICS[name].compared) & (
        (table["test_corpus"] != trained.corpus) | (table["pooling"] != "folds")
    )
    rows = []
    for row in table[shown].itertuples():
        part = test[(test["test_corpus"] == row.test_corpus) & (test["target"] == row.target)]
        low, high = _interval(part, row.metric, row.test_corpus == trained.corpus, labels)
        speakers, simulated = part["speaker"].nunique(), bool(part["simulated"].all())
        rows.append(
            (row.test_corpus, row.target, row.metric, row.score, low, high, row.utterances, speakers, simulated)
        )
    columns = ["test_corpus", "target", "metric", "score", "low", "high", "utterances", "speakers", "simulated"]
    return pd.DataFrame(rows, columns=columns)


def _interval(part: pd.DataFrame, metric: str, in_domain: bool, labels: list[str]) -> tuple[float, float]:
    """Ends of the interval over the speakers of `part`, as printed; NaN where there is none."""
    spec = METRICS[metric]
    if part["speaker"].nunique() < FEWEST_SPEAKERS or not spec.resampled:
        return np.nan, np.nan
    runs = ("seed",) if in_domain else ("seed", "fold")
    generator = np.random.default_rng(SEED)
    found = statistics.bootstrap_interval(part, metric, generator, draws=DRAWS, runs=runs, labels=labels)
    return spec.scale * found.low, spec.scale * found.high


def _scores(trained: Trained, predictions: pd.DataFrame, results: pd.DataFrame) -> str:
    lines = [
        "| tested on | of | metric | score | 95 % over speakers | utterances | speakers |",
        "|---|---|---|---:|---|---:|---:|",
    ]
    for row in results.itertuples():
        known = np.isfinite([row.low, row.high]).all()
        ends = [number_text(end, row.metric) for end in (row.low, row.high)] if known else []
        lines.append(
            f"| {CORPORA.label(row.test_corpus)} | {row.target} | {METRICS[row.metric].axis} "
            f"| {number_text(row.score, row.metric)} | {' to '.join(ends) or 'not known'} "
            f"| {row.utterances} | {row.speakers} |"
        )
    averaged = (
        " Each network is scored on the speaker that it was not trained on; the average of the networks, which this "
        "folder gives, has no score here, because some of them were trained on every speaker."
        if len(trained.networks) > 1
        else ""
    )
    simulated = " All of it is simulated speech." if predictions["simulated"].all() else ""
    normalised = trained.normalisation
    unlabelled = f" {captions.unlabelled_text(normalised.over)}" if normalised and normalised.unlabelled else ""
    return (
        "\n".join(lines)
        + f"\n\nIntervals: the test speakers resampled {DRAWS} times, the network taken as given; none with fewer than "
        f"{FEWEST_SPEAKERS} known speakers. Of one seed: another would score otherwise."
        f"{averaged}{simulated}{unlabelled}"
    )


def _certainty(trained: Trained, predictions: pd.DataFrame) -> list[tuple[str, str]]:
    """Title and text of what is known of how sure answers are, or how far off; none where nothing is known."""
    if trained.confidence is not None:
        return [("Confidence", _confidence(trained.confidence, len(trained.networks), trained.corpus, predictions))]
    return [("How far off", _distances(trained, predictions))] if trained.half_widths else []


def _confidence(sure: Confidence, networks: int, corpus: str, predictions: pd.DataFrame) -> str:
    """What a confidence means, how right it is, and what not to answer below one gains."""
    parts = [f"`confidence` is {sure}."]
    if networks > 1:
        parts[0] += (
            " Each network was asked about the development utterances of its own split; the mean of the networks, "
            "which is the answer, is on the whole less sure than one of them, and more often right."
        )
    if not sure.curve:
        return "\n\n".join([*parts, "So there is no calibration error, and no threshold for a coverage or an error."])
    rows = [
        "| utterances of | utterances | speakers | right (%) | ECE as trained (%) | ECE at the temperature (%) "
        "| by chance (%) |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    asked = predictions.sort_values("partition", kind="stable")  # development, then test
    curves = {}
    for (partition, name), part in asked.groupby(["partition", "test_corpus"], observed=True, sort=False):
        errors = confidence.errors(part, sure.temperature, np.random.default_rng(SEED))
        shown = [number_text(PERCENT * errors[key], "uar") for key in ("accuracy", "ece", "tempered_ece", "chance")]
        counts = f"{part['utterance'].nunique()} | {part['speaker'].nunique()}"
        rows.append(f"| {partition}, {CORPORA.label(name)} | {counts} | {' | '.join(shown)} |")
        curves[partition, name] = confidence.curve_of(part, sure.temperature)
    parts.append("\n".join(rows))
    parts.append(
        "ECE: the mean distance of confidence and share that is right (Guo et al. 2017); by chance: the ECE that right "
        "probabilities show on average in as few utterances. Development chose the temperature and the epoch; test did "
        "not, and a new voice is at best like test."
    )
    test = curves.get(("test", corpus))
    if len(sure.curve) > 1 and test is not None:
        parts.append(_rejection(sure, test))
    return "\n\n".join(parts)


def _rejection(sure: Confidence, test: pd.DataFrame) -> str:
    """Error against coverage on development, and on the `test` set of its corpus at the same thresholds."""
    lines = [
        "| `--reject-below` | answered of development (%) | of these wrong (%) | answered of test (%) | of these wrong "
        "(%) |",
        "|---:|---:|---:|---:|---:|",
    ]
    for point in dict.fromkeys(sure.at(sure.threshold(coverage=share)) for share in SHARES):
        if point is None:
            continue
        of_test = test[test["threshold"] >= point.threshold].tail(1)  # all that are as sure
        shares = [point.coverage, point.error, *of_test[["coverage", "error"]].to_numpy().ravel()]
        cells = [number_text(PERCENT * share, "uar") for share in shares]
        lines.append(f"| {point.threshold:.3f} | {' | '.join([*cells, *['none', ''][: 4 - len(cells)]])} |")
    return (
        "`sercore predict --reject-below P` (or `--coverage`, `--error`: the threshold of development for it) answers "
        f"'{confidence.NOT_SURE}' below a confidence.\n\n"
        + "\n".join(lines)
        + f"\n\nArea under error against coverage (the mean error over all coverages, {PERCENT} where all is wrong): "
        f"{PERCENT * sure.area:.1f} % on development, {PERCENT * confidence.area(test):.1f} % on test; of a confidence "
        f"that says nothing it would be the error of all answers, {PERCENT * sure.curve[0].error:.1f} and "
        f"{PERCENT * test['error'].iloc[-1]:.1f} %."
    )


def _distances(trained: Trained, predictions: pd.DataFrame) -> str:
    """The half-widths that hold most ratings of development, and how many of test they hold."""
    own = predictions[(predictions["partition"] == "test") & (predictions["test_corpus"] == trained.corpus)]
    share = f"{confidence.HELD:.0%}"
    lines = [f"| of | {share} of development within | of test within that |", "|---|---:|---:|"]
    for name, width in trained.half_widths.items():
        part = own[own["target"] == name]
        within = (part["truth"].astype("float64") - part["prediction"].astype("float64")).abs() <= width
        lines.append(f"| {name} | ± {width:.2f} | {within.mean():.1%} of {len(part)} |")
    return (
        "\n".join(lines) + f"\n\nThe half-width of a conformal interval (Lei et al. 2018): {share} of ratings are no "
        "farther from the answer, if speech and raters are like those of development. It is the same for all answers."
    )


def _groups(trained: Trained, predictions: pd.DataFrame) -> str:
    """How the scores differ between styles, genders and speakers of the model's own corpus, with intervals."""
    own = predictions[(predictions["partition"] == "test") & (predictions["test_corpus"] == trained.corpus)]
    lines = ["| of | metric | groups | scores | difference | 95 % over speakers |", "|---|---|---|---:|---:|---|"]
    for row in group_gaps(own).itertuples():
        both = " and ".join(number_text(score, row.metric) for score in (row.score, row.other_score))
        lines.append(
            f"| {row.target} | {METRICS[row.metric].axis} | {row.value} − {row.other} | {both} "
            f"| {signed(row.gap, row.metric)} | {interval(row.low, row.high, row.metric)} |"
        )
    labels = classes(predictions)
    for target, part in own.groupby("target", observed=True, sort=False):
        metric = METRICS[main_metric(str(target), in_domain=True)]
        known = metric.scale * statistics.speaker_scores(part, metric.name, labels=labels)["score"]
        if known.notna().sum() > 1:
            spread = speaker_spread(known)
            ends = " to ".join(number_text(end, metric.name) for end in known.agg(["min", "max"]))
            sd = " to ".join(number_text(end, metric.name) for end in (spread.low, spread.high))
            lines.append(
                f"| {target} | {metric.axis} | lowest and highest of {known.notna().sum()} speakers | {ends} "
                f"| sd {number_text(spread.score, metric.name)} | {sd if np.isfinite(spread.low) else 'not known'} |"
            )
    if len(lines) == 2:
        return "The test utterances have no groups that could be compared: neither styles, genders nor speakers."
    return (
        "\n".join(lines) + "\n\nOn test utterances of the corpus that it was trained on; not known with fewer than "
        f"{FEWEST_SPEAKERS} speakers. A group may also say other things, or fewer: a difference is not yet unfairness, "
        "and none that is seen is no proof of fairness. A speaker's own score is of few utterances, which alone makes "
        "speakers differ."
    )


def _limits(trained: Trained) -> str:
    domain = CORPORA[trained.corpus].domain if trained.corpus in CORPORA else ""
    if trained.simulated:
        domain = "a synthesiser's speech, in English"
    domain = domain or f"the speakers of {CORPORA.label(trained.corpus)} and nobody else"
    words = " Its answers depend on the text: errors of speech recognition change them." if trained.uses_text else ""
    return (
        f"It was trained on {domain}. Other languages, rooms, microphones and ways to show feelings were not tested; "
        "the table above says how far scores fall on another corpus, where one was tried. The answers predict what "
        f"raters would answer, not what somebody feels{_calibrated(trained)}.{words} {PROHIBITED}"
    )


def _calibrated(trained: Trained) -> str:
    """For what speech probabilities may be taken at their word."""
    if trained.confidence is None:
        return ""
    if not trained.confidence.calibrated:
        return "; probabilities are not calibrated"
    return "; probabilities are calibrated for speech like that of development alone"


def _licence(trained: Trained) -> str:
    if trained.simulated:
        terms = "The training speech was synthesised by the project (espeak-ng); no corpus's licence is in the weights."
    else:
        corpus = f"The corpus {CORPORA.label(trained.corpus)} has a licence of its own"
        known = CORPORA[trained.corpus].licence if trained.corpus in CORPORA else ""
        terms = (
            f"{known or corpus}: weights that were trained on it carry its terms. Share them only with whom and for "
            "what these allow."
        )
    parts = [terms, "The code is MIT."]
    if trained.uses_text:
        parts.append(f"The text encoder `{trained.text.encoder}` has a licence of its own.")
    if trained.uses_audio and (trained.network.pretrained or trained.network.encoder):
        parts.append("The published weights that training started from have a licence of their own.")
    return " ".join(parts)
