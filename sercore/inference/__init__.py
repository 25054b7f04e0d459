"""A trained model on new recordings; export and model card."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sercore.inference.predictor import Predictor


def load(folder: str | Path) -> "Predictor":
    """As predictor.load; torch is imported when this is called, and not before."""
    from sercore.inference import predictor

    return predictor.load(folder)
