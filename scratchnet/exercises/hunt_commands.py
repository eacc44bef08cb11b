"""The commands about finding mistakes: hunt, evidence, and score-tests."""

import json
from dataclasses import asdict

from scratchnet.errors import UsageError
from scratchnet.exercises import evidence, hunt, score_tests
from scratchnet.exercises.hunt import is_hunt

__all__ = ["add", "check", "is_hunt"]


def add(commands):
    """Add the commands to the subparsers of `python -m scratchnet.exercises`."""

    def command(name, function, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        sub.add_argument("folder", nargs="?" if name == "score-tests" else None)
        return sub

    sub = command("hunt", _hunt, "write a network with one mistake in it, and what its owner saw")
    sub.add_argument("--seed", type=int, required=True, help="a whole number from 0 on")
    text = "buy evidence in a hunt; without a kind, show what there is"
    sub = command("evidence", _evidence, text)
    sub.add_argument("kind", nargs="?", help=", ".join(evidence.KINDS))
    sub.add_argument("tensor", nargs="?", help="dW1, for example")
    text = "run the tests of a folder on right networks and on every mistake of the catalogue"
    sub = command("score-tests", _score_tests, text)
    sub.add_argument("--json", action="store_true")
    sub.add_argument("--references", action="store_true", help="score our own three tests anew")


def _hunt(options):
    found = hunt.write(options.folder, options.seed)
    print(f"{found.folder}: {', '.join(sorted(path.name for path in found.folder.glob('[!.]*')))}")
    print(f"Begin with {found.folder / 'README.md'}; what there is to ask:")
    print(f"    python -m scratchnet.exercises evidence {found.folder}")


def _evidence(options):
    found = hunt.load(options.folder)
    if options.kind:
        print(evidence.buy(found, options.kind, options.tensor))
        price = evidence.KINDS[options.kind].price
        print(f"(price {price}, {found.cost} in all)")
        return
    for name, kind in evidence.KINDS.items():
        print(f"{name + ' NAME' * kind.of_tensor:15} {kind.price:2}  {kind.says}")
    print(f"tensors: {', '.join(evidence.tensors(found.bug.model))}")
    for piece in found.bought:
        print(f"\nbought for {piece['price']}: {piece['evidence']}\n{piece['answer']}")
    print(f"\n{found.cost} in all so far")


def check(folder, as_json=False):
    """Say whether a hunt is over; return 0 if it is."""
    found = hunt.load(folder)
    verdict = hunt.check(found)
    if as_json:
        print(json.dumps({"folder": str(folder)} | asdict(verdict) | {"cost": found.cost}))
    else:
        print(verdict.message)
        print(
            f"pieces of evidence: {len(found.bought)}, checks that came too early: "
            f"{found.false_alarms}, price in all: {found.cost}"
        )
    return int(not verdict.mended)


def _score_tests(options):
    if options.references == (options.folder is not None):
        raise UsageError("score-tests needs a folder with tests, or --references for our own")
    if options.references:
        for title, found in score_tests.score_references():
            print(f"{title}: {len(found.caught)} of {len(found.caught) + len(found.missed)}")
        return 0
    found = score_tests.score(options.folder)
    print(json.dumps(asdict(found) | {"score": found.share}) if options.json else found)
    return int(not found.valid)
