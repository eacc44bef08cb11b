"""Progress bar and stop: what a run tells while it runs, and how it stops between two batches."""

import math
import signal
import sys
import time
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


class Progress:
    """The running account of one epoch: batches done, the sum of their losses, the seconds.

    Args:
        title: how each line begins, for example "Epoch [1/10]".
        n_images, batch_size: of the epoch.
        log_interval: a line with the loss is printed every so many batches.
        stop: a `GracefulStop`, looked at after every batch.
        batch, loss_sum, seconds: where an interrupted epoch goes on.
    """

    # What a checkpoint keeps of an epoch that is under way.
    COUNTED: ClassVar = {"batch": NATURAL, "loss_sum": AMOUNT, "seconds": AMOUNT}

    def __init__(
        self, title, n_images, batch_size, log_interval, stop, *, batch=0, loss_sum=0.0, seconds=0.0
    ):
        self.title = title
        self.n_images = n_images
        self.batch_size = batch_size
        self.n_batches = math.ceil(n_images / batch_size)
        self.log_interval = log_interval
        self.stop = stop
        self.batch = batch
        self.loss_sum = loss_sum  # of the images, not of the batches: the last batch is smaller
        self.seconds = seconds

    def watch(self, pieces):
        """Yield from `pieces`, a batch or several at a time, whose user records their batches.

        Raises:
            StoppedBetweenBatches: after the piece in which the stop was asked for.
        """
        begin = time.perf_counter() - self.seconds
        with tqdm(
            desc=self.title,
            total=self.n_images,
            initial=self.batch * self.batch_size,
            unit=" images",
            unit_scale=True,
            leave=False,
            disable=not sys.stderr.isatty(),
        ) as self.bar:
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
        if self.batch % self.log_interval == 0 or self.batch == self.n_batches:
            tqdm.write(f"{self.title}, Step [{self.batch}/{self.n_batches}], Loss: {loss}")
