"""The networks: CNN14 with or without text (section 3), the fine-tuned text model, encoders of the waveform."""

from sercore.models.checkpoint import build, load, save
from sercore.models.cnn14 import Cnn14, Output
from sercore.models.speech import SpeechModel
from sercore.models.text import TextModel

__all__ = ["Cnn14", "Output", "SpeechModel", "TextModel", "build", "load", "save"]
