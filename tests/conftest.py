"""Shapes in signatures are checked while testing only."""

from jaxtyping import install_import_hook

install_import_hook(["sercore.cnn14", "sercore.models", "sercore.losses"], "beartype.beartype")
