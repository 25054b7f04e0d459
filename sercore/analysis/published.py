"""What is published: the paper's Tables 1 to 4, its settings and how certain each is, and what others reported since.

The tables are written as they are printed, so that they can be compared with the page; the functions return them tidy,
one row a cell. Section names, model keys and corpus names are those of the predictions table.
"""

import re
from functools import cache

import pandas as pd

from sercore.analysis import statistics
from sercore.registry import METRICS, MODELS
from sercore.schema import DIMENSIONS

SEEDS = 5  # behind every mean (sd) of Tables 1 to 3; derived: 4 or 6 would give 35 of the 38 markers, 5 gives 37
COLUMNS = (
    "table",
    "section",
    "model",
    "train_corpus",
    "test_corpus",
    "target",
    "metric",
    "mean",
    "sd",
    "star",
    "dagger",
)
CELL = ["table", "section", "train_corpus", "test_corpus", "target", "metric"]
"""Where in the tables a number stands, but for the model."""

MSP, IEMOCAP = "msp-podcast", "iemocap"
PRINTED = {
    (
        1,
        "categories",
        (
            (MSP, MSP, ("emotion uar",)),
            (MSP, IEMOCAP, ("emotion uar",)),
            (IEMOCAP, IEMOCAP, ("emotion uar",)),
            (IEMOCAP, MSP, ("emotion uar",)),
        ),
    ): """
        BERT    | 48.9 (0.4)   | 45.0 (0.7)  | 71.1 (0.2)   | 40.5 (0.1)
        CNN14   | 48.3 (0.6)   | 41.3 (2.9)  | 55.8 (1.0)   | 31.5 (1.9)
        SFCNN14 | 56.0 (1.3)*† | 46.4 (3.9)  | 64.1 (0.7)*† | 33.3 (1.8)*†
        MFCNN14 | 54.2 (0.8)*† | 46.4 (2.0)* | 72.6 (0.7)*† | 35.6 (2.1)*†""",
    (
        2,
        "dimensions",
        (
            (MSP, MSP, tuple(f"{name} ccc" for name in DIMENSIONS)),
            (MSP, IEMOCAP, tuple(f"{name} pcc" for name in DIMENSIONS)),
        ),
    ): """
        CNN14   | .664 (.036) | .217 (.010)  | .583 (.022)  | .593 (.009)  | .323 (.018)  | .471 (.019)
        SFCNN14 | .620 (.025) | .367 (.018)* | .523 (.019)* | .543 (.019)* | .328 (.026)  | .417 (.014)*
        MFCNN14 | .627 (.010) | .407 (.009)* | .539 (.011)* | .558 (.015)* | .381 (.017)* | .470 (.017)""",
    (
        2,
        "dimensions",
        (
            (IEMOCAP, IEMOCAP, tuple(f"{name} ccc" for name in DIMENSIONS)),
            (IEMOCAP, MSP, tuple(f"{name} pcc" for name in DIMENSIONS)),
        ),
    ): """
        CNN14   | .618 (.010)  | .385 (.015)  | .424 (.020)  | .418 (.008)  | .087 (.010)  | .438 (.007)
        SFCNN14 | .551 (.019)* | .622 (.007)* | .438 (.013)  | .271 (.017)* | .212 (.004)* | .210 (.024)*
        MFCNN14 | .628 (.005)  | .664 (.005)* | .503 (.006)* | .432 (.006)* | .219 (.005)* | .365 (.008)*""",
    (3, "multitask", ((MSP, MSP, tuple(f"{name} ccc" for name in DIMENSIONS)),)): """
        BERT    | .232 (.006)   | .503 (.003)   | .214 (.008)
        CNN14   | .660 (.012)   | .291 (.029)   | .578 (.011)
        SFCNN14 | .665 (.008)†  | .497 (.013)*† | .598 (.025)†
        MFCNN14 | .678 (.005)*† | .521 (.004)*† | .604 (.001)*†""",
    (4, "multitask", ((MSP, MSP, tuple(f"{name} {metric}" for name in DIMENSIONS for metric in ("ccc", "mse"))),)): """
        BERT    | .228 | 1.352 | .462 | 1.027 | .209 | 0.893
        CNN14   | .658 | 0.617 | .248 | 1.625 | .564 | 0.449
        LF      | .574 | 0.587 | .460 | 0.832 | .496 | 0.414
        SFCNN14 | .657 | 0.813 | .481 | 0.990 | .561 | 0.620
        MFCNN14 | .670 | 0.514 | .515 | 0.832 | .603 | 0.381""",
}
"""(table, section, what the columns hold) -> the rows as printed: mean (sd over seeds) and markers."""

EXCEPTIONS = (
    (
        1,
        "sfcnn14",
        "cnn14",
        IEMOCAP,
        MSP,
        "emotion",
        "printed as different from CNN14, but 33.3 (1.8) against 31.5 (1.9) of 5 seeds is p = .21; it differs if all "
        "50 results of fold and seed are taken as the sample",
    ),
    (
        3,
        "sfcnn14",
        "bert",
        MSP,
        MSP,
        "valence",
        "printed as different from BERT (and the text calls it significantly worse), but .497 (.013) against .503 "
        "(.003) of 5 seeds is p = .39, and .30 at the least that the rounding allows",
    ),
)
"""The printed markers that the printed numbers do not give: table, model, against, corpora, target, why."""

BEYOND = (
    ("arousal", "ccc", 0.762, 0.678, MSP, "v1.7, test-1", "WavLM and wav2vec 2.0 ensemble", "arXiv 2408.13920"),
    ("valence", "ccc", 0.676, 0.521, MSP, "v1.7, test-1", "WavLM and wav2vec 2.0 ensemble", "arXiv 2408.13920"),
    ("dominance", "ccc", 0.684, 0.604, MSP, "v1.7, test-1", "WavLM and wav2vec 2.0 ensemble", "arXiv 2408.13920"),
    ("arousal", "ccc", 0.745, 0.678, MSP, "v1.7, test-1", "wav2vec2-large-robust", "not recorded"),
    ("valence", "ccc", 0.635, 0.521, MSP, "v1.7, test-1", "wav2vec2-large-robust", "not recorded"),
    ("dominance", "ccc", 0.634, 0.604, MSP, "v1.7, test-1", "wav2vec2-large-robust", "not recorded"),
    ("emotion", "uar", 67.0, 56.0, MSP, "v1.7, test-1, 4 classes", "WavLM", "not recorded"),
    ("emotion", "uar", 66.0, 56.0, MSP, "v1.7, test-1, 4 classes", "wav2vec2-large-robust", "not recorded"),
    ("emotion", "uar", 82.0, 72.6, IEMOCAP, "4 classes, protocol unchecked", "not recorded", "arXiv 2405.02151"),
    ("emotion", "uar", 73.5, 72.6, IEMOCAP, "4 classes, one session left out", "frozen Whisper features", "EmoBox"),
)

CERTAINTY = {
    "S": "stated in a source that was read",
    "D": "derived by computation",
    "I": "inferred, not confirmed by the paper's text",
    "M": "from memory, not confirmed by the paper's text",
    "-": "not stated",
}
FACTS = """
    corpora | IEMOCAP | S | 10,039 utterances, 10 speakers, 5 sessions, scale 1-5, gold transcripts
    corpora | IEMOCAP 4 classes | S | angry 1103, happy + excited 1636, neutral 1708, sad 1084: 5,531
    corpora | IEMOCAP folds | S | 10: test one speaker, validation the other of the session, train 4 sessions
    corpora | MSP-Podcast v1.7 | M | train 38,179, development 7,538, test-1 12,902 segments | sums agree
    corpora | MSP-Podcast | S | scale 1-7, development 44 speakers, test-1 60 (30 F, 30 M), transcripts by ASR
    corpora | classes | S | angry, happy, neutral, sad; excited counts as happy; all kept for dimensions
    corpora | class weights | S | inverse frequency in the training set
    models | log-mel | I | 16 kHz, window 512, hop 160, 64 Slaney mels, 50-8000 Hz, dB | strong
    models | CNN14 | S | 6 blocks of 2 convolutions, 64 to 2048 maps; mean over mels, max + mean over time
    models | trunk size | D | 79,673,792 parameters before the output layer
    models | initial weights | I | Xavier-uniform, not AudioSet | 75 %
    models | text encoder | S | bert-base-uncased, mean over the last layer's tokens
    models | text encoder, trained | I | frozen in the fusion models
    models | conditioning | I | added after the block's second ReLU, before pooling; linear, one number a map | 75 %
    models | start of the projections | - | PyTorch's default is likely | settings: projection
    models | tokens in the mean | - | with or without [CLS] and [SEP] | with [CLS] and [SEP]
    models | BERT's head | - | first token, pooler, or mean of the tokens before the linear layer | mean of the tokens
    models | MFCNN14 | S | all 6 blocks
    models | MFCNN14 projections | D | 3,100,608 parameters
    models | SFCNN14 | S | the last block
    models | SFCNN14 projection | D | 1,574,912 parameters
    models | late fusion | S | mean of the predictions of CNN14 and BERT, trained apart
    models | BERT | S | fine-tuned with a linear layer; categories and multitask only
    training | optimiser | S | SGD with Nesterov momentum
    training | momentum | I | .9
    training | learning rate | M | .01 | 75 %
    training | batch | M | 32 | 60 %
    training | epochs | M | 60, the best on validation is kept | 85 %
    training | losses | S | weighted cross-entropy; MSE (one dimension); mean of 1 - CCC (all three)
    training | training crops | I | not stated; related work of the author crops 2.5-5 s at random, evaluates whole
    training | output bias at the start | - | 0, or as PyTorch draws it | settings: output_bias
    training | order of batches | - | random, or by duration | settings: sorted_batches
    training | seeds | D | 5
    BERT | optimiser | I | Adam, decoupled decay 0, betas .9 and .999, eps 1e-6, no bias correction | 85 %
    BERT | schedule | I | linear, 100 warm-up and 1000 total steps | 70 %
    BERT | learning rate, length | M | 2e-5, batch 32, 128 tokens, 4 epochs | 50 %
    evaluation | categories | S | UAR [%]; confusion matrices of the models best on validation
    evaluation | dimensions | S | CCC in-domain, PCC across corpora
    evaluation | MSP-Podcast -> IEMOCAP | S | the one model on all of IEMOCAP
    evaluation | IEMOCAP -> MSP-Podcast | S | each fold's model on test-1, the metric averaged over folds
    evaluation | IEMOCAP in-domain | - | predictions pooled, or the folds' mean | both are reported
    evaluation | markers | I | two-sided independent-samples t-test over seeds, alpha .05 | certain
    evaluation | printed sd | D | ddof 0: it gives 37 of the 38 markers against CNN14
    evaluation | MSE of Table 4 | I | on the 1-7 scale
"""
"""Part, fact, certainty, value and perhaps a note."""


@cache
def _results() -> pd.DataFrame:
    models = {MODELS.label(name): name for name in MODELS}
    rows = []
    for (table, section, blocks), printed in PRINTED.items():
        places = [(train, test, *name.split()) for train, test, names in blocks for name in names]
        for line in printed.strip().splitlines():
            label, *cells = (part.strip() for part in line.split("|"))
            for (train, test, target, metric), cell in zip(places, cells, strict=True):
                ((mean, sd, marks),) = re.findall(r"^([\d.]+)(?: \(([\d.]+)\))?([*†]*)$", cell)
                rows.append(
                    (
                        table,
                        section,
                        models[label],
                        train,
                        test,
                        target,
                        metric,
                        float(mean),
                        float(sd or "nan"),
                        statistics.STAR in marks,
                        statistics.DAGGER in marks,
                    )
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def results(table: int | None = None) -> pd.DataFrame:
    """The numbers of the paper's Tables 1 to 4, or of one of them; one row a cell.

    Columns: table, section, model, train_corpus, test_corpus, target, metric (`uar` in %, `ccc`, `pcc`, `mse` on the
    1-7 scale), mean and sd over seeds, star (differs from CNN14) and dagger (from fine-tuned BERT). Table 4 is one
    model, the best on validation: its `mean` is that model's score, it has no sd (NaN), and nothing was tested.
    Raises ValueError for a table that the paper does not have.

    >>> results(3).query("model == 'mfcnn14' and target == 'valence'")[["mean", "sd", "star"]].values.tolist()
    [[0.521, 0.004, True]]
    """
    if table not in (None, 1, 2, 3, 4):
        raise ValueError(f"table {table!r} is none of the paper's; known: 1, 2, 3, 4")
    printed = _results()
    return printed.copy() if table is None else printed[printed["table"] == table].reset_index(drop=True)


def covariances() -> pd.DataFrame:
    """The covariance of prediction and truth behind each CCC and MSE of Table 4, in squared units of the scale.

    From CCC = 2 c / (MSE + 2 c) follows c = CCC MSE / (2 (1 - CCC)) with population moments (Lin 1989). It says two
    things that the paper does not print. The slope of figure 3 is c / var(truth) - 1, so its order among models is
    known, and the value is where the variance of the truth is. And late fusion has, but for rounding, the mean of
    BERT's and CNN14's covariances, as the mean of the predictions of these same two models has.

    Columns: model, train_corpus, test_corpus, target, ccc, mse, covariance, and covariance_low and covariance_high,
    which the rounding of the printed numbers allows.

    >>> covariances().query("target == 'arousal'").set_index("model")["covariance"].round(2).to_dict()
    {'bert': 0.2, 'cnn14': 0.59, 'lf': 0.4, 'sfcnn14': 0.78, 'mfcnn14': 0.52}
    """
    keys = ["model", "train_corpus", "test_corpus", "target"]
    table = results(4).pivot(index=keys, columns="metric", values="mean").reindex(columns=["ccc", "mse"])
    half = {name: 0.5 * 10 ** -METRICS[name].digits for name in table}
    for column, sign in (("covariance", 0), ("covariance_low", -1), ("covariance_high", 1)):
        ccc, mse = (table[name] + sign * half[name] for name in half)
        table[column] = ccc * mse / (2 * (1 - ccc))
    table = table.rename_axis(columns=None).reset_index()
    place = table["model"].map(MODELS.position)
    return table.assign(place=place).sort_values(["place", "target"]).drop(columns="place").reset_index(drop=True)


def markers_recomputed(alpha: float = statistics.ALPHA, seeds: int = SEEDS) -> pd.DataFrame:
    """Every marker that the paper could have set, tested again from the printed mean (sd, ddof 0) of `seeds` seeds.

    One row per fusion model, cell and reference (`against`: cnn14, bert). Columns: those of CELL, model, against,
    printed (the marker is there), p, p_low and p_high (what the rounding of the printed numbers allows), recomputed
    (p < alpha), agrees. At the defaults 37 of 38 agree against CNN14 and 13 of 14 against BERT; `exceptions` says
    which do not.
    """
    table = results()
    table = table[table["sd"].notna()]
    rows = []
    for place, cell in table.groupby(CELL, sort=False):
        cell = cell.set_index("model")
        digits = METRICS[place[-1]].digits
        for against, column in (("cnn14", "star"), ("bert", "dagger")):
            for model in [name for name in ("sfcnn14", "mfcnn14") if against in cell.index]:
                ours = (*cell.loc[model, ["mean", "sd"]], seeds)
                theirs = (*cell.loc[against, ["mean", "sd"]], seeds)
                low, high = _rounding_range(ours, theirs, digits)
                rows.append(
                    (
                        *place,
                        model,
                        against,
                        bool(cell.loc[model, column]),
                        statistics.compare_printed(ours, theirs).p,
                        low,
                        high,
                    )
                )
    tests = pd.DataFrame(rows, columns=[*CELL, "model", "against", "printed", "p", "p_low", "p_high"])
    recomputed = tests["p"] < alpha
    return tests.assign(recomputed=recomputed, agrees=recomputed == tests["printed"])


def _rounding_range(a: statistics.Printed, b: statistics.Printed, digits: int) -> tuple[float, float]:
    """The lowest and highest p of numbers that would be printed, with `digits` decimals, as `a` and `b`."""
    ends = []
    for half in (0.5 * 10**-digits, -0.5 * 10**-digits):
        gap = max(abs(a[0] - b[0]) + 2 * half, 0.0)
        wide, narrow = ((max(sd - half, 0.0), n) for _, sd, n in (a, b))
        ends.append(statistics.compare_printed((gap, *wide), (0.0, *narrow)).p)
    return ends[0], ends[1]


def exceptions() -> pd.DataFrame:
    """The markers that the printed numbers do not give: table, model, against, corpora, target, and why."""
    return pd.DataFrame(
        EXCEPTIONS, columns=["table", "model", "against", "train_corpus", "test_corpus", "target", "why"]
    )


def beyond() -> pd.DataFrame:
    """The best results that others have published for the same task since, beside the paper's best; UAR in %.

    Columns: target, metric, score, paper, corpus, test, model, source.
    """
    columns = ["target", "metric", "score", "paper", "corpus", "test", "model", "source"]
    return pd.DataFrame(BEYOND, columns=columns)


def facts() -> pd.DataFrame:
    """What the paper fixes and what it does not. Columns: part, fact, certainty (S, D, I, M, -), meaning, value, note.

    What is I or M is a parameter of the study, to be reported as not confirmed by the paper's text. A note says how
    sure an I or M is, or what was done about a "-".
    """
    rows = [[cell.strip() for cell in f"{line} | ".split("|")][:5] for line in FACTS.strip().splitlines()]
    table = pd.DataFrame(rows, columns=["part", "fact", "certainty", "value", "note"])
    table.insert(3, "meaning", table["certainty"].map(CERTAINTY))
    return table
