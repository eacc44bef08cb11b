"""Progress of an epoch: its bar, its mean loss, and how it stops between two batches."""

import math
import signal
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from tqdm import tqdm

from scratchnet import signals
from scratchnet.errors import NumericError, StoppedBetweenBatches
from scratchnet.training.config import AMOUNT, NATURAL


class GracefulStop:
    """Within `with`, the first SIGINT or SIGTERM becomes a request, kept in `signum`.

    The run honours it when its weights are whole. A second signal is no longer caught here, so a
    second Ctrl-C ends the program at once.
    """

    def __enter__(self):
        self.signum, self.previous = None, {}
        self.previous = signals.handle(self._ask)
        return self

    def __exit__(self, *_):
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)

    def honour(self):
        """Raise StoppedBetweenBatches if a stop was asked for."""
        if self.signum:
            raise StoppedBetweenBatches(self.signum)

    def _ask(self, signum, _):
        self.__exit__()
        self.signum = signum


@dataclass
class Progress:
    """The progress of one epoch; an interrupted one resumes from the numbers of `COUNTED`."""

    title: str  # how each line begins, for example "Epoch [1/10]"
    n_images: int
    batch_size: int
    log_interval: int  # batches from one line with the loss to the next
    stop: GracefulStop  # looked at after every batch
    batch: int = 0  # batches done
    loss_sum: float = 0.0  # of the images, not of the batches: the last batch is smaller
    seconds: float = 0.0

    # What a checkpoint keeps of the progress of an epoch.
    COUNTED: ClassVar = {"batch": NATURAL, "loss_sum": AMOUNT, "seconds": AMOUNT}

    def watch(self, pieces):
        """Yield from `pieces`, a batch or several at a time, whose user records their batches.

        Raises:
            StoppedBetweenBatches: after the piece in which the stop was asked for.
        """
        begin = time.perf_counter() - self.seconds
        done = {"total": self.n_images, "initial": self.batch * self.batch_size}
        style = {"unit": " images", "unit_scale": True, "leave": False}
        with tqdm(desc=self.title, **done, **style, disable=not sys.stderr.isatty()) as self.bar:
            for piece in pieces:
                yield piece
                # here the body of the caller's loop is through, and the weights are whole
                self.seconds = time.perf_counter() - begin
                self.stop.honour()

    def record(self, loss, n_images):
        """Count the mean loss of a batch of n_images; NumericError if it is not finite."""
        self.loss_sum += self.checked(loss) * n_images
        self.advance(n_images, f"{loss:.4f}")

    def checked(self, loss):
        """Return the loss of the batch under way as a float; NumericError if it is not finite."""
        if not math.isfinite(loss):
            raise NumericError(f"the loss is {loss} at {self.title}, step {self.batch + 1}")
        return float(loss)

    def advance(self, n_images, loss):
        """Count a batch as done, and show its loss, a text."""
        self.batch += 1
        self.bar.update(n_images)
        if not self.bar.disable:
            self.bar.set_postfix_str(f"loss {loss}", refresh=False)
        n_batches = math.ceil(self.n_images / self.batch_size)
        if self.batch % self.log_interval == 0 or self.batch == n_batches:
            tqdm.write(f"{self.title}, Step [{self.batch}/{n_batches}], Loss: {loss}")


def counted(progress):
    """Return what a checkpoint keeps of a `Progress`, or of its class before an epoch begins."""
    return {name: getattr(progress, name) for name in progress.COUNTED}
