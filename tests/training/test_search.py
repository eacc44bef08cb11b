"""One trial of a search: the training that its options name, reported epoch by epoch."""

import dataclasses

import optuna
import pytest
from optuna.trial import FixedTrial

import scratchnet.train
from scratchnet import data
from scratchnet.training import search
from scratchnet.training.classifier_run import hold_out_validation
from scratchnet.training.config import TuneConfig
from tests.conftest import rows_of

DRAWN = {"depth": 1, "width1": 64, "batch_size": 32}
DRAWN |= {"lr": 0.03, "lr_decay": 0.8, "momentum": 0.5, "weight_decay": 1e-4}


class Watched(FixedTrial):
    """A trial that does worse than all others."""

    def __init__(self):
        super().__init__(DRAWN)
        self.reports = []

    def report(self, value, step):
        self.reports.append((step, value))

    def should_prune(self):
        return True


@pytest.fixture(scope="module")
def found(digits_folder):
    return data.load("auto", digits_folder)


def trained(trial, found, **options):
    config, train, validation = hold_out_validation(found, TuneConfig(**options))
    return search.train_and_validate(trial, config, train, validation)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_trial_trains_as_the_command_does_with_the_same_seed(
    found, digits_folder, tmp_path, seed
):
    value = trained(FixedTrial(DRAWN), found, epochs=2, seed=seed)
    words = "--hidden 64 --batch-size 32 --lr 0.03 --lr-decay 0.8 --momentum 0.5 --epochs 2 "
    words += f"--weight-decay 0.0001 --engine fused --seed {seed} --no-plots"
    folders = ["--data-dir", str(digits_folder), "--out", str(tmp_path)]
    scratchnet.train.main([*words.split(), *folders])
    assert value == float(rows_of(tmp_path / "history.csv")[-1]["val_accuracy"])


def test_a_trial_reports_each_epoch_by_its_number_and_is_pruned_before_its_last(found):
    early, late = Watched(), Watched()
    with pytest.raises(optuna.TrialPruned):
        trained(early, found, epochs=2)
    value = trained(late, found, epochs=1)  # all is done: nothing is left to be saved
    assert [step for step, _ in early.reports] == [1]
    assert late.reports == [(1, value)]


def test_trials_share_a_study_only_where_they_can_be_compared(found):
    config = TuneConfig(val_size=47)
    other_data = dataclasses.replace(found, sha256={"train": "other"})
    names = {search.study_name(found, config), search.study_name(other_data, config)}
    for change in ({"val_size": 48}, {"epochs": 3}, {"seed": 1}):
        names.add(search.study_name(found, dataclasses.replace(config, **change)))
    assert len(names) == 5
    more = dataclasses.replace(config, trials=99, jobs=7, out="elsewhere")
    assert search.study_name(found, more) in names
