"""Sound -> log-mel spectrograms, text -> embeddings, sound -> text; computed once into the packed cache."""

from sercore.features.audio import AudioError, log_mel, read_audio

__all__ = ["AudioError", "log_mel", "read_audio"]
