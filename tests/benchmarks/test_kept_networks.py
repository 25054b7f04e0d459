"""The comparison of networks that are kept in several ways: it finds what differs."""

import pandas as pd
from benchmarks import kept_networks


def predictions(sure: float, second: str) -> pd.DataFrame:
    chances = {"p_happy": [sure, 0.5], "p_sad": [1 - sure, 0.5]}
    keys = {"partition": "test", "target": "emotion", "truth": ["happy", "sad"]}
    return pd.DataFrame({**keys, "prediction": ["happy", second], **chances})


def test_a_change_is_counted_and_none_is_none():
    exact = predictions(0.9, "sad")
    none = kept_networks.departure(exact, exact)
    some = kept_networks.departure(exact, predictions(0.8, "happy"))
    assert none == {"probability": 0.0, "classes": 0, "utterances": 2, "uar": 0.0}
    assert some == {"probability": some["probability"], "classes": 1, "utterances": 2, "uar": 50.0}
    assert round(some["probability"], 9) == 0.1
    rows = [{"kept": "whole", "bytes": 2_000_000, **none}, {"kept": "half", "bytes": 500_000, **some}]
    lines = kept_networks.table(pd.DataFrame(rows)).splitlines()
    assert lines[2:] == ["| whole | 1 | 2.0 | 0 | 0 of 2 | 0.00 |", "| half | 1 | 0.5 | 0.1 | 1 of 2 | 50.00 |"]
