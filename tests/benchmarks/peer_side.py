"""What autrainer is given to train on whole utterances, by turns: runs in its environment, not in ours."""

import json
import sys
import time

import torch
from autrainer.core.callbacks import CallbackMixin
from autrainer.core.structs import DataBatch
from autrainer.transforms import AbstractTransform

TURN = "turn:"


class PadToLongest(AbstractTransform):
    """Batches padded to their longest utterance: its own configurations crop all to one length instead."""

    def __call__(self, item):
        return item

    def get_collate_fn(self, data, default):  # noqa: ARG002 -- the arguments are autrainer's
        def collate(items):
            longest = max(item.features.shape[-2] for item in items)
            for item in items:
                short = longest - item.features.shape[-2]
                item.features = torch.nn.functional.pad(item.features, (0, 0, 0, short), value=-100.0)
            return DataBatch.collate(items)

        return collate


class TakeTurns(CallbackMixin):
    """After each step, reading its batch included, prints how long it took and waits for a line on standard input."""

    def cb_on_train_begin(self, trainer):
        self.start = time.perf_counter()
        self.batch = trainer.cfg.batch_size

    def cb_on_step_end(self, trainer, iteration, batch_idx, loss):  # noqa: ARG002 -- the arguments are autrainer's
        seconds = time.perf_counter() - self.start
        print(TURN, json.dumps({"seconds": seconds, "utterances": self.batch, "loss": loss}), flush=True)
        sys.stdin.readline()
        self.start = time.perf_counter()
