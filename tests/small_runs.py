"""Runs that train in seconds, on the embedded corpora: what the tests of predictions and exports use."""

from pathlib import Path

import pandas as pd

from sercore import schema
from sercore.analysis import confidence
from sercore.features import hub
from sercore.training import experiment

FEATURES = {"mels": 32, "hop": 512}


def train(folder: Path, embedded: dict, section: str, **parameters) -> Path:
    """The folder of a complete run of `section`."""
    settings = {
        "model": "cnn14",
        "corpus": "msp-podcast",
        "seed": 0,
        "folds": [],
        "features": FEATURES,
        "text": {},
        "network": {"width": 2},
        "training": {"epochs": 1, "crop_seconds": 1.5},
        "corpora": embedded,
        "folder": str(folder / section / "run"),
        "cache": str(folder / "cache"),
        **parameters,
    }
    if settings["model"] == "bert":
        settings["training"] = {"epochs": 1}
    run = experiment.define(section, **settings)
    experiment.run(run, experiment.load(run))
    return run.folder


def calibrated(rows: pd.DataFrame, sure: confidence.Confidence) -> pd.DataFrame:
    """The probabilities in `rows` of a run's predictions as its predictor gives them."""
    columns = schema.probability_columns(rows)
    return pd.DataFrame(confidence.tempered(rows[columns].to_numpy("float64"), sure.temperature), columns=columns)


def tiny_encoder(folder: Path, width: int = 8) -> str:
    """Folder of a BERT of two layers without any knowledge, with the tokenizer of the embedded encoder."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    words = AutoTokenizer.from_pretrained(hub.encoder_folder("all-minilm-l6-v2"))
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)
