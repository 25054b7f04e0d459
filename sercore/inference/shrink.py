"""Checkpoints of fine-tuned encoders, made smaller: as what differs from the published weights."""

import tempfile
from pathlib import Path

from sercore.models import checkpoint

KEPT = (checkpoint.DIFFERENCE, checkpoint.HALF)


def shrink(path: Path, kept: str, dry_run: bool = False) -> int:
    """Have the checkpoint `path` keep its weights as `kept`, one of KEPT; the bytes that this frees.

    DIFFERENCE is exact, HALF is not, see checkpoint.save. With `dry_run` it stays as it is, and so does one that is
    kept so already, or smaller, or has no encoder.

    Raises ValueError where it is damaged, or its encoder is not there.
    """
    ways, held = ("whole", *KEPT), checkpoint.kept_as(path)
    if held is None or ways.index(held) >= ways.index(kept):
        return 0
    before = path.stat().st_size
    if not dry_run:
        checkpoint.copy(path, path, kept)
        return before - path.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        checkpoint.copy(path, made, kept)
        return before - made.stat().st_size
