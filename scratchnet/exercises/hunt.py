"""The bug hunt: a network with one catalogued mistake in it, and what its owner saw.

    seed ──> a mistake ──> the files with it, and the curves of a real training with them
    evidence, each piece at its price ──> a mended file ──> check

Everything follows from the seed, so the folder need not say which mistake it is.
"""

import ast
import io
import json
import tokenize
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scratchnet.checking.bugs import BUGS
from scratchnet.errors import DataError, UsageError
from scratchnet.exercises import diagnosis, implementation, runner, sample_training, walk
from scratchnet.exercises.chapters import CHAPTERS
from scratchnet.exercises.stubs import flat_imports, new_folder
from scratchnet.files import write_csv, write_json

HUNTED = tuple(bug for bug in BUGS if bug.file in implementation.FILES.values())
SECONDS = 60  # for a check, which takes about one
FALSE_ALARM = 1  # what a check costs that finds the network not mended yet

STORIES = {
    "mlp": """I wrote a multilayer perceptron, 784-64-32-10, and trained it for {epochs} epochs on
the 4,000 digits of the sample (lr 0.1, momentum 0.5, weight decay 0.0001, batch size 32).""",
    "cnn": """I wrote a small convolutional network, with 4 and 8 channels, and trained it for
{epochs} epochs on 2,000 digits (lr 0.1, momentum 0.5, weight decay 0.0001, batch size 32).""",
    "gan": """I wrote a GAN, with 64 hidden units on either side, and trained it for {epochs} epochs
on 2,000 digits (Adam with a learning rate of 0.001 for both, batch size 32).""",
}
README = """# A bug hunt

> {story}
> {outcome}
> One mistake is in there somewhere. I cannot see it; can you?

{pictures}

One of the {count} files holds one mistake. Read them, buy evidence where reading is not enough, and
mend the file:

    python -m scratchnet.exercises evidence {name}              # what there is, and what it costs
    python -m scratchnet.exercises evidence {name} tensor dW1   # a piece of it
    python -m scratchnet.exercises check {name}                 # is it mended? what did it cost?

A check that finds it not mended yet costs {false_alarm}. The fewer points in the end, the better.
"""


@dataclass
class Hunt:
    """A hunt's folder, and what has been bought in it so far, kept in its file .hunt.json."""

    folder: Path
    seed: int
    bought: list = field(default_factory=list)  # of {"evidence": ..., "price": ..., "answer": ...}
    false_alarms: int = 0

    @property
    def bug(self):
        return mistake(self.seed)

    @property
    def cost(self):
        """The price of all evidence, and of the checks that came too early."""
        return sum(piece["price"] for piece in self.bought) + FALSE_ALARM * self.false_alarms

    def save(self):
        """OSError if the folder is not writable."""
        kept = {"seed": self.seed, "bought": self.bought, "false_alarms": self.false_alarms}
        write_json(self.folder / ".hunt.json", kept)


def mistake(seed):
    """Return the Bug of a seed."""
    return HUNTED[np.random.default_rng(seed).integers(len(HUNTED))]


def is_hunt(folder):
    return Path(folder, ".hunt.json").is_file()


def load(folder):
    """Return the Hunt of a folder; UsageError if it is none, DataError if it is damaged."""
    path = Path(folder, ".hunt.json")
    if not is_hunt(folder):
        raise UsageError(f"{folder} is no hunt; `hunt --seed 1 {folder}` makes one of a new folder")
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        seed, bought = int(kept["seed"]), list(kept["bought"])
        for piece in bought:
            piece["evidence"], piece["price"] + 0, piece["answer"]
        return Hunt(Path(folder), seed, bought, int(kept["false_alarms"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is damaged; a new hunt with the same seed is the same") from error


# Writing a folder


def write(folder, seed):
    """Write a new hunt: nine files, README.md, history.csv and curves.png; return the Hunt.

    Raises:
        UsageError: a seed below 0.
        FileExistsError: the folder exists already and is not empty.
    """
    if seed < 0:
        raise UsageError(f"--seed {seed}: a seed is a whole number from 0 on")
    folder, bug = new_folder(folder), mistake(seed)
    for name, (_, text) in implementation.sources(bug).items():
        (folder / f"{name}.py").write_text(bare(flat_imports(text)), encoding="utf-8")
    training = sample_training.train(implementation.with_bugs(bug), bug.model)
    story = STORIES[bug.model].format(epochs=sample_training.EPOCHS[bug.model])
    readme = README.format(
        story=story.replace("\n", "\n> "),
        outcome=_outcome(bug.model, training),
        pictures=_draw(folder, bug.model, training),
        count=len(implementation.FILES),
        name=folder.name,
        false_alarm=FALSE_ALARM,
    )
    (folder / "README.md").write_text(readme, encoding="utf-8")
    hunt = Hunt(folder, seed)
    hunt.save()
    return hunt


def bare(text):
    """Return a program without its comments and idle `pass`: neither tells which line is new."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
            if isinstance(body, list) and len(body) > 1:
                for statement in body:
                    if isinstance(statement, ast.Pass):
                        lines[statement.lineno - 1] = "#"
    text = "\n".join(lines) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            before = lines[row - 1][:column].rstrip()
            lines[row - 1] = before or None  # a line of nothing else goes
    return "\n".join(line for line in lines if line is not None) + "\n"


def _draw(folder, model, training):
    """Write history.csv and the figures; return the figures' Markdown."""
    from scratchnet.evaluation import image_grid, plots  # only here: Matplotlib takes a second

    history, columns = training.history, sample_training.COLUMNS[model]
    write_csv(folder / "history.csv", columns, [[row[c] for c in columns] for row in history])
    if not history:
        return "(It ended before the first epoch did.)"
    if model != "gan":
        plots.save(plots.curves(history), folder / "curves.png")
        return "![Loss and accuracy](curves.png)"
    unscored = [row | {"recognised": None} for row in history]
    plots.save(plots.gan_losses(unscored), folder / "curves.png")
    image_grid.save(image_grid.make_grid(training.fakes, 10), folder / "digits.png")
    return "![The two losses](curves.png)\n\n![What the generator makes](digits.png)"


def _outcome(model, training):
    if training.stopped:
        return f"It stopped in epoch {len(training.history) + 1}, with {training.stopped}."
    last = training.history[-1]
    if model == "gan":
        losses = f"{last['discriminator_loss']:.3f} and {last['generator_loss']:.3f}"
        return f"The losses of discriminator and generator end at {losses}."
    loss, accuracy = last["train_loss"], last["val_accuracy"]
    return f"Its training loss ends at {loss:.4f}, its accuracy on other digits at {accuracy:.1%}."


# Checking a folder


@dataclass(frozen=True)
class Verdict:
    """Whether a hunt's network is mended."""

    mended: bool
    message: str


def check(hunt):
    """Judge a hunt's folder; return the Verdict, and note its price. What cannot run is free."""
    traces, stopped = measure(hunt, _traces)
    if stopped:
        return Verdict(False, stopped)
    wrong = _wrong(traces)
    known = _wrong(_traces(implementation.with_bugs(hunt.bug)))
    if not wrong:
        return Verdict(True, f'mended. The mistake was: "{hunt.bug.name}".')
    hunt.false_alarms += 1
    hunt.save()
    new = [place for place in wrong if place not in known]
    if new:
        title, tensor = new[0]
        text = f"not mended, and something is wrong that was right before: {tensor} ({title})."
    else:
        text = f"not mended yet: of {len(known)} tensors that were wrong {len(wrong)} still are."
    return Verdict(False, text)


def measure(hunt, function, *args):
    """Return (function(the hunt's Implementation, *args), ""), or (None, why it cannot run)."""
    folder = str(hunt.folder.resolve())  # it runs in another
    outcome = runner.run(_measure_folder, folder, function, args, seconds=SECONDS)
    return (None, outcome.stopped) if outcome.stopped else outcome.value


def _measure_folder(folder, function, args):
    """In a process of its own: as `measure`."""
    try:
        nn = implementation.of_folder(folder)
    except (OSError, ValueError) as error:
        return None, f"{type(error).__name__}: {error}"
    try:
        for name in implementation.FILES:
            getattr(nn, name)
        return function(nn, *args), ""
    except Exception as error:
        found = diagnosis.raised(error, nn)
        return None, f"{found.place}: {found.text}" if found.place else found.text


def _probed():
    """Yield (title, probe, cases) of all that is compared: every chapter, and every walk."""
    for chapter in CHAPTERS:
        if chapter.probe:
            yield chapter.title, chapter.probe, chapter.cases
    for model, cases in walk.CASES.items():
        yield f"training steps, {model}", walk.walk, cases


def _traces(nn):
    return {title: diagnosis.trace(nn, probe, cases()) for title, probe, cases in _probed()}


def _wrong(traces):
    """Return {(title, tensor): None} of what is wrong, in the order of computation."""
    wrong = {}
    for title, probe, cases in _probed():
        expected = diagnosis.right(probe, cases)
        found = diagnosis.wrong(traces[title], expected)
        wrong |= {
            (title, f"{name} in {case}"): None
            for case, its in expected.items()
            for name in its
            if (case, name) in found
        }
    return wrong
