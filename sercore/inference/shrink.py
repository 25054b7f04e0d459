"""Checkpoints of fine-tuned encoders, made smaller: as what differs from the published weights."""

import tempfile
from pathlib import Path

from sercore.models import checkpoint

KEPT = (checkpoint.DIFFERENCE, checkpoint.HALF)


def shrink(path: Path, kept: str, dry_run: bool = False) -> int:
    """Have the checkpoint `path` keep its weights as `kept`, one of KEPT; the bytes that this frees.

    DIFFERENCE is exact, HALF is not, see checkpoint.save. With `dry_run` it stays as it is.

    Raises ValueError where it is damaged, or its encoder is not there.
    """
    before = path.stat().st_size
    if not dry_run:
        checkpoint.copy(path, path, kept)
        return before - path.stat().st_size
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        checkpoint.copy(path, made, kept)
        return before - made.stat().st_size
