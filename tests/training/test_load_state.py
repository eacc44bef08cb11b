"""A checkpoint that is not what it should be is refused by the name of what is wrong in it."""

import pytest

from scratchnet.errors import CheckpointError
from scratchnet.training import checkpoint
from scratchnet.training.classifier_run import load_classifier


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state["config"].update(momentum=-1), "its momentum: -1 must be"),
        (lambda state: state["config"].pop("lr"), "its lr is missing"),
        (lambda state: state["config"]["data"].update(name="cifar"), "its data: invalid choice"),
        (lambda state: state.pop("epoch"), "it has no 'epoch'"),
        (lambda state: state.update(epoch=0), "its epoch: 0 must be at least 1"),
        (lambda state: state["under_way"].pop("batch"), "it has no 'batch'"),
        (lambda state: state["under_way"].update(seconds="3"), "its seconds: invalid number"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_in_a_checkpoint_is_named(trained, change, words):
    path = trained / "model.safetensors"
    tensors, state = checkpoint.load(path)
    change(state)
    checkpoint.save(path, tensors, state)

    with pytest.raises(CheckpointError) as refused:
        load_classifier(path)

    assert f"{path} is no checkpoint of a digit classifier: {words}" in str(refused.value)
