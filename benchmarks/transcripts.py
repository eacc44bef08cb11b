"""What the READMEs show of a command's output, out of what `python -m benchmarks pictures` kept."""

import re

FIRST_STEP = "step|tensor|x |z1 |a1 |loss |dlogits |dW3 |dz1 |W1 "  # the beginnings of its lines


def fenced(command, lines):
    """A block of Markdown: the command at a prompt, and lines of its output."""
    return ["```", f"$ {command}", *lines, "```"]


def run_of(results, name):
    """The command of a run, without where its figure goes, and the lines it printed."""
    run = results["runs"][name]
    return re.sub(r" runs/\S+\.png$", "", run["command"]), run["printed"]


def index(lines, beginning):
    """The index of the first line with that beginning; StopIteration if there is none."""
    return next(i for i, line in enumerate(lines) if line.startswith(beginning))


def train(results):
    """The first lines of a training, and its end without the confusion matrix."""
    command, lines = run_of(results, "default")
    *_, last = (line for line in lines if line.startswith("Epoch"))
    end = [line for line in lines if line.startswith(("test ", "files "))]
    return fenced(command, [*lines[:2], "...", last, *end])


def lockstep_end(results):
    """What both networks in lockstep come to."""
    command, lines = run_of(results, "lockstep")
    end = next(i for i, line in enumerate(lines) if "tensors compared" in line)
    return fenced(command, ["...", *lines[end:]])


def lockstep_first(results):
    """The heading of a report and a part of the table of its first step."""
    command, lines = run_of(results, "lockstep")
    first = index(lines, "step 1 ")
    table = lines[first : index(lines, "the worst of")]
    return fenced(command, [*lines[:first], *(t for t in table if re.match(FIRST_STEP, t))])


def lockstep_worst(results):
    """The table of the worst of every tensor, up to the end of the report."""
    _, lines = run_of(results, "lockstep")
    return ["```", *lines[index(lines, "the worst of") :], "```"]


def free_run(results):
    """How far the unsynchronised twin drifts off."""
    command, lines = run_of(results, "free-run")
    return fenced(command, ["...", *lines[index(lines, "an unsynchronised") :][:-1]])
