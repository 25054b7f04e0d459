"""Utterances per second of one training epoch per model, against the same model in a plain loop.

The plain loop is what one writes first: random batches padded to the longest, whose log-mels are computed from the wav
files and whose text embeddings from the transcripts, each time. Both train the same model with the same optimiser on
the same utterances, taking turns; the first epoch of each warms up and is not counted. Medians over the repeats.

    make bench
    python -m tests.benchmarks.throughput --corpus iemocap --root /data/IEMOCAP_full_release --width 64
"""

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence

from sercore import config, experiment, features, files, models, optimisers, schema, sources, training
from sercore.settings import CNN_MODELS, TEXT_MODEL, TRAINED_MODELS, FeatureSettings, TextSettings, TrainingSettings
from sercore.settings import training as settings_of

DEVELOPMENT = 16  # utterances: a fit wants some


def main(arguments: Sequence[str] | None = None) -> dict:
    """Measure, print a table, write the numbers as JSON, and return them."""
    asked = _parser().parse_args(arguments)
    device = training.pick_device()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    small = device.type == "cpu"
    sound = FeatureSettings(mels=32, hop=320) if small else FeatureSettings()
    text = TextSettings(encoder=asked.encoder, tokens=asked.tokens)
    # each model's own optimiser; at a constant rate, because a schedule may end before the repeats do
    course = {"epochs": 1 + asked.repeats, "schedule": "constant", "total_steps": None, "warmup_steps": 0,
              "stop_when_worse": False}  # fmt: skip
    width = asked.width or (8 if small else 64)
    release = {"root": asked.root, **({"transcripts": asked.transcripts} if asked.transcripts else {})}
    options = config.located(release if asked.root else experiment.EMBEDDED_CORPORA[asked.corpus], asked.corpus)
    rows = {}
    for name in asked.models:
        schedule = settings_of(name, course)
        source = sources.read(
            asked.corpus, options, model=name, targets=(schema.EMOTION,), classes=schema.FOUR_CLASSES,
            features=sound, text=text, cache_folder=files.resolve(asked.cache),
        )  # fmt: skip
        wanted = _chosen(source, asked.utterances)
        build = {"kind": "text", "encoder": asked.encoder, "outputs": 4}
        if name != TEXT_MODEL:
            text_width = source.embeddings.array.shape[1] if source.embeddings is not None else 0
            build = {"kind": "cnn14", "outputs": 4, "text_stages": CNN_MODELS[name], "text_width": text_width,
                     "width": width, "mels": sound.mels}  # fmt: skip
        ours = _ours(source, wanted, build, schedule)
        plain = _Plain(source, wanted, build, schedule, sound, text, device)
        rates: dict[str, list[float]] = {"ours": [], "plain": []}
        for repeat in range(1 + asked.repeats):
            for key, rate in (("ours", next(ours)), ("plain", plain.epoch())):
                if repeat:
                    rates[key].append(rate)
        ours.close()
        medians = {key: statistics.median(values) for key, values in rates.items()}
        rows[name] = {**medians, "ratio": medians["ours"] / medians["plain"], "repeats": rates}
        print(f"{name:8} {_told(rows[name])}", flush=True)
    frame = sound.hop / sound.sample_rate
    found = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(), "torch": torch.__version__, "corpus": asked.corpus,
        "utterances": len(wanted), "width": width, "mels": sound.mels, "hop_seconds": frame,
        "encoder": asked.encoder, "batch": schedule.batch, "utterances_per_second": rows,
    }  # fmt: skip
    files.write_json(files.resolve(asked.output), found)
    print(f"{found['utterances']} utterances of {asked.corpus}, width {width}, {sound.mels} mels, a frame every "
          f"{1000 * frame:g} ms, {found['threads']} threads, {found['device']}; written to {asked.output}")  # fmt: skip
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--corpus", default="msp-podcast")
    parser.add_argument("--root", help="the release's folder (default: what `sercore speak` made)")
    parser.add_argument("--transcripts", help="a CSV of transcripts, for a release that has none")
    parser.add_argument("--cache", default="outputs/cache")
    parser.add_argument("--models", nargs="+", default=list(TRAINED_MODELS), choices=TRAINED_MODELS)
    parser.add_argument("--utterances", type=int, default=256, help="at most as many are trained on")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, help="of CNN14 (default: 8 on a CPU, 64 on a GPU)")
    parser.add_argument("--encoder", default="all-minilm-l6-v2")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int, help="default: one a core")
    parser.add_argument("--output", default="outputs/throughput.json")
    return parser


def _chosen(source: sources.Source, most: int) -> pd.DataFrame:
    """The utterances that are trained on: of the training partition where there is one."""
    rows = source.rows
    if rows["partition"].notna().any():
        rows = rows[rows["partition"] == "train"]
    return rows.sample(n=min(most, len(rows)), random_state=0)


def _ours(source: sources.Source, wanted: pd.DataFrame, build: dict, schedule: TrainingSettings) -> Iterator[float]:
    """Utterances per second of each epoch of a fit."""
    train = source.dataset(wanted["utterance"])
    few = source.rows.groupby(schema.EMOTION).head(DEVELOPMENT // 4)
    goal = training.objective("categories", train.target, 4)
    model = models.build(build, torch.Generator().manual_seed(0))
    for epoch in training.fit(model, goal, train, source.dataset(few["utterance"]), schedule, 0):
        yield epoch.utterances_per_second


class _Plain:
    """The loop that one writes first."""

    def __init__(
        self,
        source: sources.Source,
        wanted: pd.DataFrame,
        build: dict,
        schedule: TrainingSettings,
        sound: FeatureSettings,
        text: TextSettings,
        device: torch.device,
    ) -> None:
        self.model = models.build(build, torch.Generator().manual_seed(0)).to(device).train()
        self.optimiser = optimisers.optimiser(self.model.parameters(), schedule)
        self.paths = [source.corpus.root / file for file in wanted["file"]]
        self.transcripts = list(wanted["transcript"].fillna(""))
        codes = {name: code for code, name in enumerate(source.classes)}
        self.target = torch.tensor([codes[name] for name in wanted[schema.EMOTION]])
        self.reads, self.hears = bool(build.get("text_stages")), build["kind"] == "cnn14"
        self.encoder = None if self.hears and not self.reads else features.TextEncoder(text, device)
        self.sound, self.device, self.batch = sound, device, schedule.batch

    def epoch(self) -> float:
        """Train on every utterance once. Utterances per second."""
        start = time.perf_counter()
        batches = [rows for rows in torch.randperm(len(self.paths)).split(self.batch) if len(rows) > 1]
        for rows in batches:
            inputs = [None if part is None else part.to(self.device) for part in self._inputs(rows.tolist())]
            logits = self.model(*inputs).logits
            loss = torch.nn.functional.cross_entropy(logits, self.target[rows].to(self.device))
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            loss.item()
        return sum(map(len, batches)) / (time.perf_counter() - start)

    def _inputs(self, rows: list[int]) -> tuple[torch.Tensor | None, ...]:
        if not self.hears:
            tokens = [torch.tensor(ids) for ids in self.encoder.tokenize([self.transcripts[i] for i in rows])]
            counts = torch.tensor([len(ids) for ids in tokens])
            padded = pad_sequence(tokens, batch_first=True)
            return padded, torch.arange(padded.shape[1]) < counts[:, None]
        logmels = [
            features.log_mel(features.read_audio(self.paths[i], self.sound.sample_rate), self.sound) for i in rows
        ]
        text = self.encoder.embed([self.transcripts[i] for i in rows]) if self.reads else None
        frames = torch.tensor([len(logmel) for logmel in logmels])
        return pad_sequence(logmels, batch_first=True), frames, text


def _told(row: dict) -> str:
    spread = ", ".join(f"{min(v):.0f}-{max(v):.0f}" for v in (row["repeats"]["ours"], row["repeats"]["plain"]))
    return f"{row['ours']:8.1f} utterances/s, plain loop {row['plain']:8.1f}: {row['ratio']:.2f} times ({spread})"


if __name__ == "__main__":
    main()
