"""Sound -> log-mel spectrograms, text -> embeddings, sound -> text; computed once into the packed cache.

Without torch until one of these names is used, so that the browsers may read the cache (`packed`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sercore.features.audio import AudioError, log_mel, read_audio

__all__ = ["AudioError", "log_mel", "read_audio"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from sercore.features import audio

    return getattr(audio, name)
