"""A trial of the search: it is pruned where it does worse, but never after its last epoch."""

import optuna
import pytest

from scratchnet import data
from scratchnet.training.config import TuneConfig
from scratchnet.training.search import train_and_validate


class Pitiless(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return True


def test_a_trial_may_be_pruned_after_each_epoch_but_the_last(digits_folder):
    train = data.load("auto", digits_folder).train
    few = data.Split(*(part[:100] for part in train))
    study = optuna.create_study(pruner=Pitiless())
    one, two = study.ask(), study.ask()

    assert 0 <= train_and_validate(one, TuneConfig(epochs=1), few, few) <= 1
    with pytest.raises(optuna.TrialPruned):
        train_and_validate(two, TuneConfig(epochs=3), few, few)

    assert [len(trial.intermediate_values) for trial in study.trials] == [1, 1]
