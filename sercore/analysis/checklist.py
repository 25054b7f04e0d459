"""What reviewers ask of a study: a reproducibility checklist, filled from the run folders, on the page and in LaTeX.

The items are those of the Responsible NLP checklist of the ACL Rolling Review, which NAACL uses too (A1 to E1;
aclrollingreview.org/responsibleNLPresearch), and of the reproducibility checklist of Dodge et al., *Show Your Work*,
EMNLP 2019 (R1 to R4), in our words. What the project does not know is said to be missing, with what would fill it.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from sercore import files, registry, settings
from sercore.analysis import captions, composition
from sercore.analysis.composition import records_table
from sercore.analysis.results import Results, main_metric
from sercore.analysis.tables import Table, cell_text, tex
from sercore.schema import EMOTION, first
from sercore.study.config import Run, Study

BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "text_mean", "text_deviation")
"""Ends of the names of what a checkpoint holds beside parameters: measured on data, not learnt."""
DIFFERENCES = "base"  # in a checkpoint's settings where it holds what differs from an encoder, see models.checkpoint
JOULES_OF_A_KILOWATT_HOUR = 3.6e6
DESIGN_WATTS = {
    "NVIDIA A100 80GB PCIe": 300,
    "NVIDIA A100-PCIE-40GB": 250,
    "NVIDIA A100-SXM4-40GB": 400,
    "NVIDIA A100-SXM4-80GB": 400,
    "NVIDIA GeForce RTX 3090": 350,
    "NVIDIA GeForce RTX 4090": 450,
    "NVIDIA H100 80GB HBM3": 700,
    "NVIDIA H100 PCIe": 350,
    "NVIDIA H200": 700,
    "NVIDIA L4": 72,
    "Tesla T4": 70,
    "Tesla V100-SXM2-16GB": 300,
    "Tesla V100-SXM2-32GB": 300,
}
"""GPU, as PyTorch calls it -> thermal design power [W] on NVIDIA's data sheet of it."""
LICENCES = {
    "all-minilm-l6-v2": "Apache 2.0 (its model card)",
    "aisfx": "CC BY 4.0 (Ma and Lerch, ISMIR 2022)",
    "bert-base-uncased": "Apache 2.0 (its model card)",
    "Cnn14_16k_mAP=0.438.pth": "CC BY 4.0 (PANNs; Zenodo record 3987831)",
}
"""Text encoder or pretrained weights -> licence."""
SYNTHESISED = "synthesised by the project with espeak-ng (GPL 3, run and not distributed); the sentences are MIT"
UNKNOWN = "not known"
VALIDATION = "Scores on the development set beside those on the test set"
INTENDED = (
    "Meant for research: to compare where text should enter a network that listens, and to check such comparisons. "
    "Models predict what raters would answer, not what somebody feels."
)
PROHIBITED = (
    "Not for decisions about people. In the European Union, placing on the market, putting into service or using AI "
    "systems that infer emotions of people at the workplace or in education institutions is prohibited, except for "
    "medical or safety reasons (AI Act, Regulation (EU) 2024/1689, article 5(1)(f), since 2 February 2025); elsewhere "
    "emotion recognition by voice or other biometric data is high-risk (annex III, 1(c)), and those who are exposed to "
    "it must be informed (article 50(3)). What is made and used for scientific research alone is outside the Act "
    "(article 2(6))."
)
"""Which use of emotion recognition the law forbids, in our words."""


class Item(NamedTuple):
    """One thing that is asked."""

    code: str  # of the checklist: A1 to E1, or R1 to R4
    about: str
    answer: str  # what the run folders say; empty: nothing
    missing: str = ""  # what they do not say, and what would fill it


@dataclass(frozen=True)
class Checklist:
    """The items, and the tables that they point to."""

    study: str
    items: tuple[Item, ...]
    tables: tuple[Table, ...]

    @property
    def table(self) -> Table:
        """The items as a table."""
        records = [
            {"": item.code, "asked": item.about, "answer": item.answer, "missing, and what would fill it": item.missing}
            for item in self.items
        ]
        below = [
            "In our words. A1 to E1: items of the Responsible NLP checklist of the ACL Rolling Review; R1 to R4: what "
            "the reproducibility checklist of Dodge et al. (EMNLP 2019) asks beyond."
        ]
        return records_table("checklist", "Items, answers, and what is missing", records, below)

    def html(self) -> str:
        """The checklist as a part of an HTML page."""
        return "\n".join(table.html() for table in (self.table, *self.tables))

    def latex(self) -> str:
        """The checklist as an appendix in LaTeX, to be read by `\\input`; needs the packages booktabs and longtable."""
        lines = [
            "% Written by `sercore report`. In the preamble: \\usepackage{booktabs,longtable}",
            rf"\section{{Reproducibility checklist of the study {tex(self.study)}}}",
            r"\begin{description}",
            *(
                rf"\item[{item.code}] \emph{{{tex(item.about)}.}} {tex(item.answer)}"
                + (rf" \textbf{{Missing:}} {tex(item.missing)}" if item.missing else "")
                for item in self.items
            ),
            r"\end{description}",
        ]
        return "\n".join([*lines, *(table.latex() for table in self.tables)])


def make(study: Study, results_of: Callable[[str], Mapping[str, Results]], watts: float | None = None) -> Checklist:
    """The checklist of `study`, filled from its complete runs.

    Args:
        study: The study.
        results_of: Section -> change -> its results, see results.by_change; asked for sections with complete runs.
        watts: Power that a run draws while it trains [W], for devices without a documented one.
    """
    evidence = Evidence(study, watts)
    validation = _validation_table(study, results_of)
    tables = [
        validation,
        evidence.budget,
        _hyperparameters_table(study),
        evidence.data,
        evidence.artefacts,
    ]
    return Checklist(
        study.name, tuple(evidence.items(validation)), tuple(table for table in tables if len(table.frame))
    )


class Evidence:
    """What the run folders of a study say, read once."""

    def __init__(self, study: Study, watts: float | None) -> None:
        self.study, self.watts = study, watts
        self.trained = [run for run in study.runs if run.complete and not run.needs]
        self.origins = {run.key: composition.provenance(run) or {} for run in self.trained}
        corpora = [held for record in self.origins.values() for held in record.get("corpora", {}).values()]
        self.simulated = bool(composition.simulated(study)) and all(held["simulated"] for held in corpora)

    def items(self, validation: Table) -> Iterator[Item]:
        """Every item, in the order of the checklists; `validation` is the table of scores on the development set."""
        yield Item("A1", "Limitations", *self._limitations())
        yield Item("A2", "Risks, intended use and misuse", f"{INTENDED} {PROHIBITED}")
        yield Item("A3", "Claims in abstract and introduction", "", "the paper: say it in abstract and introduction")
        yield Item("B1", "Creators of what was used are cited", "Software and paper: CITATION.cff.", self._citations())
        yield Item("B2", "Licences", *self._licences())
        yield Item("B3", "Use as the licences intend", *self._intended())
        yield Item("B4", "Personal data", *self._personal())
        yield Item("B5", "Domains and languages", *self._domains())
        yield Item("B6", "Sizes, splits, features, exclusions", *self._data())
        yield Item("C1", "Parameters, runtime, machines, energy", *self._costs())
        yield Item("C2", "Hyperparameters: bounds and selection", *self._selection())
        yield Item("C3", "What a score is a mean of", *self._runs())
        yield Item("C4", "Packages and their settings", *self._packages())
        yield Item("D1", "Raters: instructions, pay, consent", *self._raters())
        yield Item("E1", "Use of AI assistants", "", "a sentence of the authors: whether and for what they were used")
        yield Item("R1", "Validation score beside each test score", _points_to(validation), _unscored(validation))
        yield Item("R2", "Code and how to run it", *self._code())
        yield Item("R3", "Number of trials", *self._trials())
        yield Item("R4", "Metrics", self._metrics())

    def _limitations(self) -> tuple[str, str]:
        seeds = {run.parameters["seed"] for run in self.trained if "seed" in run.parameters}
        parts = [
            "Speech and emotions are synthesised by rule: scores show whether the study works and say nothing about "
            "people."
            if self.simulated
            else "",
            f"Of {_counted(len(self.study.corpora), 'corpus', 'corpora')} and {_counted(len(seeds), 'seed')}.",
            "Other languages, rooms, microphones and ways to show feelings were not tested.",
            "Raters' answers stand for emotions; a test set's labels are theirs.",
        ]
        incomplete = [run for run in self.study.runs if not run.complete]
        lacking = f"{_counted(len(incomplete), 'run')}: complete the study with `sercore run`" if incomplete else ""
        return " ".join(filter(None, parts)), lacking

    def _citations(self) -> str:
        names = [name for name, licence in self._used_artefacts() if licence != SYNTHESISED]
        return f"citations of {', '.join(names)}: those that their owners ask for" if names else ""

    def _licences(self) -> tuple[str, str]:
        open_ones = [name for name, licence in self._used_artefacts() if licence == UNKNOWN]
        lacking = f"the licence of {', '.join(open_ones)}: where it was obtained" if open_ones else ""
        return f"The code is MIT. {_points_to(self.artefacts)}", lacking

    def _intended(self) -> tuple[str, str]:
        if self.simulated:
            return "No corpus of people was used: the speech was made for this study.", ""
        return "", "whether the agreements on the corpora and weights allow this use: their texts"

    def _personal(self) -> tuple[str, str]:
        kept = "Run folders hold ids of utterances and speakers as the corpora have them, and no sound."
        if self.simulated:
            return f"Nobody was recorded. {kept}", ""
        return kept, "consent and anonymisation of the corpora: their papers"

    def _domains(self) -> tuple[str, str]:
        known = {name: spec.domain for name in self._corpora if (spec := self._corpus_spec(name)) and spec.domain}
        if self.simulated:
            return "A synthesiser's speech, in English.", ""
        unknown = [name for name in self._corpora if name not in known]
        lacking = f"who speaks what language in {', '.join(unknown)}: its paper" if unknown else ""
        return " ".join(f"{registry.CORPORA.label(name)}: {domain}." for name, domain in known.items()), lacking

    def _data(self) -> tuple[str, str]:
        lacking = []
        if not len(self.data.frame):
            lacking.append("sizes: complete runs, whose provenance.json has them")
        elif self.data.numbers["training"].str.contains(UNKNOWN).any():
            lacking.append("how many utterances were trained on: run folders of this version record it")
        return f"{_points_to(self.data)} {self._preprocessing()}".strip(), "; ".join(lacking)

    def _preprocessing(self) -> str:
        """How sound and text are prepared, of all runs."""
        features, texts = set(), set()
        for run in self.trained:
            spec = registry.MODELS.get(str(run.parameters.get("model")))
            if spec is not None and spec.uses_audio:
                front = settings.of_run(run.parameters, "features")
                network = settings.of_run(run.parameters, "network", captions.size_of(run))
                normalised = f", mean removed: {network.normalisation}" if network.normalisation else ""
                share = network.regression
                beside = f"; a regression on those below 4 kHz has a share of {share:.0%}" if share else ""
                kind = (
                    "16-bit waveform"
                    if spec.features == "waveform"
                    else f"log-mels in {front.mels} bands, {front.window} samples every {front.hop}{normalised}{beside}"
                )
                features.add(f"mono, {front.sample_rate} Hz, {kind}")
            if spec is not None and spec.uses_text:
                text = settings.of_run(run.parameters, "text")
                wrong = f", {text.corruption:.0%} of the words made wrong" if text.corruption else ""
                texts.add(f"transcripts '{text.transcripts}'{wrong}, cut at {text.tokens} tokens")
        kinds = {"Sound": features, "Text": texts}
        return " ".join(f"{name}: {'; or '.join(sorted(values))}." for name, values in kinds.items() if values)

    def _costs(self) -> tuple[str, str]:
        devices = Counter(device for record in self.origins.values() for device in _processors(record))
        threads = Counter(
            session["threads"] for record in self.origins.values() for session in record.get("sessions", ())
        )
        parts, lacking = [_points_to(self.budget)], []
        if devices:
            of_threads = f", of {'/'.join(map(str, sorted(threads)))} threads each" if threads else ""
            parts.append(f"Runs by device: {composition.tally(devices)}{of_threads}.")
        else:
            lacking.append("devices and seconds: complete runs, whose provenance.json has them")
        if len(self.budget.numbers) and UNKNOWN in self.budget.numbers["parameters"].tolist():
            lacking.append(
                f"numbers of parameters: the checkpoints {files.CHECKPOINT}, which are not in the run folders"
            )
        if any(_reads_frozen(run) for run in self.trained):
            lacking.append("parameters of the text encoder that fusion models take embeddings from: its model card")
        energy, unknown = self._energy()
        return " ".join(filter(None, [*parts, energy])), "; ".join([*lacking, *unknown])

    def _energy(self) -> tuple[str, list[str]]:
        """The energy that training took, with what is assumed, and what is missing for it."""
        joules, assumed, unknown, hours = 0.0, {}, set(), 0.0
        for record in self.origins.values():
            seconds, processors = sum(record.get("seconds", {}).values()), _processors(record)
            device = processors[-1] if processors else ""
            power = DESIGN_WATTS.get(device, self.watts)
            if power is None or not seconds:
                unknown.add(device or "a device that is not recorded")
                continue
            assumed[device] = f"{power:g} W for {device} ({'its design power' if device in DESIGN_WATTS else 'given'})"
            joules, hours = joules + power * seconds, hours + seconds / 3600
        lacking = (
            [f"energy on {first(sorted(unknown))}: its power in watts, by `sercore report --watts`"] if unknown else []
        )
        if not assumed:
            return "", lacking
        return (
            f"Energy: about {joules / JOULES_OF_A_KILOWATT_HOUR:.2g} kWh, if a run draws {', '.join(assumed.values())} "
            f"in all of the {hours:.1f} h, alone on it. Not counted: the rest of the machine, cooling, features, "
            "analyses, runs that failed.",
            lacking,
        )

    def _selection(self) -> tuple[str, str]:
        own = _hyperparameters_table(self.study)
        last = sum(map(captions.keeps_last, self.trained))
        kept = "The epoch is the best of those trained by the score on the development set"
        if last:
            others = f"; of the others it is{kept.removeprefix('The epoch is')}" if last < len(self.trained) else ""
            kept = f"Of {_counted(last, 'run')} the last epoch is kept{others}"
        answer = f"{_points_to(own)} {kept}; no test score selects anything."
        fixed = own.numbers[own.numbers["how chosen"].str.startswith("fixed")] if len(own.numbers) else own.numbers
        names = ", ".join(fixed["hyperparameter"].drop_duplicates()) if len(fixed) else ""
        lacking = f"how the values of {names} were found, and what was tried before: a sentence of the authors"
        return answer, lacking if names else ""

    def _runs(self) -> tuple[str, str]:
        seeds = sorted({run.parameters["seed"] for run in self.trained if "seed" in run.parameters})
        answer = (
            f"{_counted(len(self.trained), 'complete run')} that train{'s' * (len(self.trained) == 1)}, seeds "
            f"{first(map(str, seeds), most=20)}. A cell is the mean (sd, ddof 0) over seeds; intervals are over "
            "speakers, utterances and seeds, and say so; every seed's score is drawn."
        )
        few = len(seeds) < 2
        return answer, "spread over seeds: runs with more than one seed" if few else ""

    def _packages(self) -> tuple[str, str]:
        if any(self.origins.values()):
            return "See the tables 'Software' and 'Settings'.", ""
        return "See the table 'Settings'.", "versions: complete runs, whose provenance.json has them"

    def _raters(self) -> tuple[str, str]:
        if self.simulated:
            return "No people rated: labels are what the synthesiser was given.", ""
        return (
            "No people were asked for this study.",
            "instructions, pay and consent of the corpora's raters: their papers",
        )

    def _code(self) -> tuple[str, str]:
        commits = {(record.get("commit") or "") for record in self.origins.values()} - {""}
        answer = f"`sercore run {self.study.path.name}` executes all of it."
        if commits:
            answer += f" Made with commit {first(sorted(commits), most=4)}."
        dirty = sorted(commit for commit in commits if commit.endswith(files.DIRTY))
        lacking = ["the address of the code: a link of the authors"]
        lacking += ["changes that were not committed when runs were made: commit them and run again"] if dirty else []
        return answer, "; ".join(lacking)

    def _trials(self) -> tuple[str, str]:
        return (
            f"{_counted(len(self.study.runs), 'run')} of the parameters file, all shown: none is left out.",
            "how many trials came before this study: a sentence of the authors",
        )

    def _metrics(self) -> str:
        names = [metric.label for metric in registry.METRICS.values()]
        return f"{', '.join(names)}: defined, with what raises and what is NaN, in sercore/metrics.py."

    @cached_property
    def _corpora(self) -> list[str]:
        return list(self.study.corpora)

    def _corpus_spec(self, name: str) -> registry.CorpusSpec | None:
        return registry.CORPORA.get(str(self.study.corpora[name].get("reader") or name))

    def _used_artefacts(self) -> list[tuple[str, str]]:
        """Name and licence of each corpus and of the weights that runs start from or take features of."""
        rows = [(registry.CORPORA.label(name), self._corpus_licence(name)) for name in self._corpora]
        weights: dict[str, None] = {}
        for run in self.trained:
            spec = registry.MODELS.get(str(run.parameters.get("model")))
            if spec is None:
                continue
            network = settings.of_run(run.parameters, "network")
            taken = [network.pretrained, network.encoder] if spec.uses_audio else []
            taken += [settings.of_run(run.parameters, "text").encoder] if spec.uses_text else []
            weights |= dict.fromkeys(Path(name).name if Path(name).is_absolute() else name for name in taken if name)
        return [*rows, *((name, LICENCES.get(name, UNKNOWN)) for name in weights)]

    def _corpus_licence(self, name: str) -> str:
        spec = self._corpus_spec(name)
        if self.simulated and all(record["corpora"][name]["simulated"] for record in self._with_corpus(name)):
            return SYNTHESISED
        return (spec.licence if spec else "") or UNKNOWN

    def _with_corpus(self, name: str) -> list[Mapping[str, Any]]:
        """The origins of runs on or with the corpus `name`."""
        return [record for record in self.origins.values() if name in record.get("corpora", {})]

    @cached_property
    def artefacts(self) -> Table:
        """Corpora and pretrained weights with their licences."""
        records = [{"what was used": name, "licence": licence} for name, licence in self._used_artefacts()]
        return records_table("checklist_artefacts", "Licences of what was used", records)

    @cached_property
    def budget(self) -> Table:
        """Number of parameters and time of each model, one row a section and model."""
        groups: dict[tuple[str, str], list[Run]] = {}
        for run in self.trained:
            groups.setdefault((run.section, str(run.parameters.get("model"))), []).append(run)
        records = []
        for (section, model), runs in groups.items():
            sizes = sorted({size for run in runs if (size := count_parameters(run)) is not None})
            folds = [fold for run in runs for fold in self.origins[run.key].get("folds", {}).values()]
            spent = [sum(fold.get("seconds", {}).values()) for fold in folds]
            records.append(
                {
                    "section": section,
                    "model": registry.MODELS.label(model),
                    "parameters": " to ".join(f"{size:,}" for size in dict.fromkeys(sizes[:1] + sizes[-1:])) or UNKNOWN,
                    "runs": len(runs),
                    "trainings": len(folds) or UNKNOWN,
                    "each, mean": composition.duration(sum(spent) / len(spent)) if spent else UNKNOWN,
                    "all": composition.duration(sum(spent)) if spent else UNKNOWN,
                    "device": composition.tally(fold["device"] for fold in folds) if folds else UNKNOWN,
                }
            )
        below = ["Learnt numbers in the checkpoint. A run trains once for each fold; times hold its evaluation."]
        return records_table("checklist_budget", "Parameters and time", records, below)

    @cached_property
    def data(self) -> Table:
        """Utterances in all, left out and why, and in each partition; one row a section, target and pair of corpora."""
        records = []
        seen = set()
        for run in self.trained:
            about = {"section": run.section, "of": _targets(run), "trained on": str(run.parameters.get("corpus"))}
            record = self.origins[run.key]
            trained = [fold.get("utterances", {}).get("training") for fold in record.get("folds", {}).values()]
            kind = (*about.values(), *trained)
            if kind not in seen and record.get("corpora") and run.result == files.PREDICTIONS:
                seen.add(kind)
                predicted = _predicted(run)
                for name, held in record["corpora"].items():
                    records.append(about | {"corpus": name} | _sizes(run, held, predicted.get(name, {})))
                    own = name == run.parameters.get("corpus")
                    training = " / ".join(UNKNOWN if size is None else str(size) for size in dict.fromkeys(trained))
                    records[-1]["training"] = training if own else ""
        below = [
            "Of another corpus than that of the training: its test partition, else all of it, is tested on. "
            "Several numbers: of the folds."
        ]
        return records_table("checklist_data", "Utterances, exclusions and splits", records, below)


def _predicted(run: Run) -> dict[str, dict[str, str]]:
    """Corpus -> partition -> how many utterances `run` predicted of it, of each fold where these differ, in print."""
    columns = ["test_corpus", "partition", "fold", "utterance"]
    table = files.read_table(run.folder / files.PREDICTIONS, columns)
    counts = table.groupby(columns[:-1], observed=True, sort=False)["utterance"].nunique()
    found: dict[str, dict[str, str]] = {}
    for (corpus, partition), of in counts.groupby(level=[0, 1], observed=True, sort=False):
        found.setdefault(str(corpus), {})[str(partition)] = " / ".join(map(str, dict.fromkeys(of)))
    return found


def _sizes(run: Run, held: Mapping[str, Any], predicted: Mapping[str, str]) -> dict[str, str]:
    """Utterances of a corpus, those left out and why, and those of its partitions, in print."""
    out = held["utterances"] - held["with_target"]
    reason = "an emotion of none of the classes, or raters do not agree" if _targets(run) == EMOTION else "not rated"
    return {
        "utterances": str(held["utterances"]),
        "left out": str(out),
        "why": reason if out else "",
        "training": "",
        **{partition: predicted.get(partition, "") for partition in ("development", "test")},
    }


def _targets(run: Run) -> str:
    section = registry.SECTIONS.get(run.section)
    named = run.parameters.get("target")
    return str(named) if named else ", ".join(section.targets) if section else ""


def _reads_frozen(run: Run) -> bool:
    """Whether the run's model takes embeddings of a text encoder that is not in its checkpoint."""
    spec = registry.MODELS.get(str(run.parameters.get("model")))
    return spec is not None and spec.fuses


def _processors(record: Mapping[str, Any]) -> list[str]:
    """The processors that a run's sessions were on, in their order."""
    return [str(session["processor"]) for session in record.get("sessions", ()) if "processor" in session]


def count_parameters(run: Run) -> int | None:
    """The learnt numbers in the first checkpoint of `run`; None where it has none, or holds differences alone."""
    path = next(iter(sorted(run.folder.glob(f"{files.FOLD}*/{files.CHECKPOINT}"))), None)
    if path is None or files.damage(path):
        return None
    with safe_open(path, "np") as content:
        if DIFFERENCES in json.loads(content.metadata()["settings"]):
            return None
        names = [name for name in content.keys() if not name.endswith(BUFFERS)]  # noqa: SIM118 -- safe_open cannot be iterated
        return sum(_product(content.get_slice(name).get_shape()) for name in names)


def _product(shape: Iterable[int]) -> int:
    number = 1
    for length in shape:
        number *= length
    return number


def _validation_table(study: Study, results_of: Callable[[str], Mapping[str, Results]]) -> Table:
    """Scores on the development and test sets, one row a model, training corpus and target."""
    records = []
    below = ["Mean (sd, ddof 0) over seeds; folds pooled in-domain, and the mean of the folds' scores elsewhere."]
    for section, runs in composition.sections(study).items():
        if any(run.complete and not run.needs and run.result == files.PREDICTIONS for run in runs):
            try:
                for change, of_change in results_of(section).items():
                    records += _validation_rows(section, change, of_change)
            except (ValueError, LookupError) as error:
                below.append(f"Section '{section}' cannot be scored: {error}.")
    return records_table("checklist_validation", VALIDATION, records, below)


def _unscored(validation: Table) -> str:
    """What is missing of the table of scores."""
    return " ".join(validation.notes[1:]) or ("" if len(validation.frame) else "scores: complete runs")


def _validation_rows(section: str, change: str, of_change: Results) -> list[dict[str, str]]:
    scored = of_change.scores
    keys, rows = ["model", "train_corpus", "target"], []
    for (model, train, target), group in scored.groupby(keys, observed=True, sort=False):
        row = {
            "section": section + (f", {change}" if change != "None" else ""),
            "model": registry.MODELS.label(model),
            "trained on": registry.CORPORA.label(train),
            "of": target,
        }
        inside, outside = main_metric(target, in_domain=True), main_metric(target, in_domain=False)
        own = (
            group[(group["test_corpus"] == train) & (group["metric"] == inside) & (group["pooling"] != "folds")]
            .set_index("partition")["score"]
            .groupby(level=0, observed=True)
        )
        cells = {partition: cell_text(part.mean(), part.std(ddof=0), "", inside) for partition, part in own}
        row |= {"metric": registry.METRICS.label(inside), "development": cells.get("development", UNKNOWN)}
        away = group[(group["test_corpus"] != train) & (group["metric"] == outside)].groupby(
            "test_corpus", observed=True
        )
        others = [
            f"{registry.METRICS.label(outside)} {cell_text(part.mean(), part.std(ddof=0), '', outside)} on "
            f"{registry.CORPORA.label(name)}"
            for name, part in away["score"]
        ]
        rows.append(row | {"test": cells.get("test", UNKNOWN), "test elsewhere": "; ".join(others)})
    return rows


def _hyperparameters_table(study: Study) -> Table:
    """What was varied and what differs from the paper: values, and how they were chosen; one row a hyperparameter."""
    records = []
    for section, runs in composition.sections(study).items():
        for key in dict.fromkeys(key for run in runs if not run.needs for key in run.grid):
            values = dict.fromkeys(composition.in_print(run.parameters[key]) for run in runs if key in run.parameters)
            how = (
                "the best on development for Table 4, else all reported"
                if key == "seed"
                else "all reported, none chosen"
            )
            records.append(_hyperparameter(key, f"grid: {first(values, most=12)}", how, section))
    same = 0
    for (kind, name), groups in composition.used_settings(study).items():
        held: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for (here, paper, _), of in groups.items():
            held.setdefault((here, paper), set()).update(of)
        users, everywhere = Counter(user for of in held.values() for user in of), set().union(*held.values())
        same += all(here == paper for here, paper in held)
        for (here, paper), of in held.items():
            searched = any(users[user] > 1 for user in of)
            how = (
                "searched: each value is reported" if searched else f"fixed in {study.path.name}; the paper's: {paper}"
            )
            if searched or here != paper:
                users_of = composition.users_in_print(of, everywhere)
                records.append(_hyperparameter(f"{kind}: {name}", here, how, users_of))
    below = [f"The other {same} settings have the paper's value and were not searched: see the table 'Settings'."]
    return records_table("checklist_hyperparameters", "Hyperparameters: bounds and selection", records, below)


def _hyperparameter(name: str, bounds: str, how: str, of: str) -> dict[str, str]:
    return {"hyperparameter": name, "values": bounds, "how chosen": how, "of": of}


def _points_to(table: Table) -> str:
    return f"See the table '{table.title}'." if len(table.frame) else ""


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number} {one if number == 1 else several or one + 's'}"
