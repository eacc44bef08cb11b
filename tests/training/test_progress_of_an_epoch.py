"""What an epoch prints and counts batch by batch, and whom it hands the signals back to."""

import signal

import numpy as np
import pytest

from scratchnet.errors import NumericError, StoppedBetweenBatches
from scratchnet.training.gan_run import GANProgress
from scratchnet.training.progress import GracefulStop, Progress, counted

EPOCH = "Epoch [1/1]"


@pytest.fixture
def stop():
    with GracefulStop() as stop:
        yield stop


def handlers():
    return [signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)]


def test_the_signals_are_answered_as_before_once_training_is_over():
    before = handlers()

    with GracefulStop():
        assert not set(handlers()) & set(before)

    assert handlers() == before


def test_the_first_signal_is_a_request_and_the_second_is_answered_as_before():
    before = handlers()
    with GracefulStop() as stop:
        stop.honour()
        signal.raise_signal(signal.SIGINT)
        assert handlers() == before
        with pytest.raises(StoppedBetweenBatches) as stopped:
            stop.honour()

    assert stopped.value.signum == signal.SIGINT
    assert handlers() == before


def test_a_loss_is_printed_every_few_batches_and_after_the_last(stop, capsys):
    progress = Progress(EPOCH, 9, 2, 2, stop)
    for size, loss in progress.watch([(2, 0.5), (2, 0.25), (2, 1), (2, 2), (1, 4)]):
        progress.record(np.float32(loss), size)

    shown = capsys.readouterr()
    losses = ("[2/5], Loss: 0.2500", "[4/5], Loss: 2.0000", "[5/5], Loss: 4.0000")
    assert shown.out.splitlines() == [f"{EPOCH}, Step {loss}" for loss in losses]
    assert shown.err == ""  # no bar without a terminal
    assert progress.loss_sum == 2 * (0.5 + 0.25 + 1 + 2) + 4
    assert counted(progress) == {"batch": 5, "loss_sum": 11.5, "seconds": progress.seconds}


def test_the_losses_of_both_networks_of_a_gan_are_printed_and_counted(stop, capsys):
    progress = GANProgress(EPOCH, 3, 2, 1, stop)
    for size, losses in progress.watch([(2, (0.5, 3)), (1, (0.25, 4))]):
        progress.record(*losses, size)

    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"{EPOCH}, Step [2/2], Loss: D 0.2500, G 4.0000"
    assert (progress.loss_sum, progress.generator_loss_sum) == (1.25, 10)


def test_a_stop_that_is_asked_for_in_a_batch_is_honoured_after_it(stop):
    progress, seen = Progress(EPOCH, 4, 2, 9, stop), []

    def train():
        for number in progress.watch([1, 2]):
            stop.signum = signal.SIGTERM
            progress.record(0.5, 2)
            seen.append(number)

    with pytest.raises(StoppedBetweenBatches):
        train()

    assert seen == [1]
    assert progress.batch == 1


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(stop, loss):
    progress = Progress(EPOCH, 4, 2, 1, stop, batch=1)

    with pytest.raises(NumericError, match=rf"the loss is {loss} at Epoch \[1/1\], step 2"):
        progress.record(loss, 2)

    assert progress.loss_sum == 0
