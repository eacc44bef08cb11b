"""Write the network yourself, chapter by chapter, and be told which mistake you made.

python -m scratchnet.exercises start mynet       a folder of files to fill in
python -m scratchnet.exercises check mynet       the first chapter that is not done
python -m scratchnet.exercises watch mynet       ... again whenever a file is saved
python -m scratchnet.exercises status mynet      what is done, and what comes next
python -m scratchnet.exercises diagnose FILE     one training step, saved from any framework
python -m scratchnet.exercises hunt --seed 7 bug a network with a mistake in it, to be found
python -m scratchnet.exercises evidence bug      what can be asked about it, and what it costs
python -m scratchnet.exercises score-tests tests the share of the mistakes that your tests catch
"""

import argparse
import csv
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scratchnet.cli import entry
from scratchnet.cli.options import cores
from scratchnet.errors import UsageError
from scratchnet.exercises import hints, hunt_commands, kernel_chapter, milestones, stubs
from scratchnet.exercises import step as saved_step
from scratchnet.exercises.chapters import CHAPTERS, by_number
from scratchnet.exercises.check import check_chapter
from scratchnet.exercises.progress import Progress
from scratchnet.exercises.runner import wait_for_change
from scratchnet.exercises.text import describe, show_checks


def main(argv=None):
    """Run a command; return 0, or 1 if something is wrong with what was checked."""
    options = _parser().parse_args(argv)
    return options.command(options)


def start(options):
    folder = stubs.start(options.folder)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    print(f"The first chapter: {CHAPTERS[0].title}. {CHAPTERS[0].question}")
    print(f"Write {CHAPTERS[0].functions[0]} in {folder / CHAPTERS[0].file}.py, then")
    print(f"    python -m scratchnet.exercises check {folder}")


def check(options):
    *folders, asked = [*options.folder, None]
    if len(folders) > 1 and not Path(folders[-1]).is_dir():
        asked = _chapter(folders.pop())
    if options.solution:
        print(stubs.solution(_chapter(options.solution)), end="")
        return 0
    if not folders:
        raise UsageError("check what? Name the folder that `start` has made")
    if any(map(hunt_commands.is_hunt, folders)):
        return max(hunt_commands.check(folder, options.json) for folder in folders)
    folders = [_folder(name) for name in folders]
    if options.json:
        return _print_json(folders, [asked] if asked else CHAPTERS)
    return max(_check_one(folder, asked, options) for folder in folders)


def _check_one(folder, asked, options, thorough=True):
    """Check and print the chapters of a folder up to the first that is not done."""
    progress, wrong = Progress(folder), False
    for chapter in [asked] if asked else CHAPTERS:
        result = _result(folder, chapter, thorough)
        if _untrained(result):
            print(f"chapter {chapter.number}: as ours, step by step; `check` trains it")
            continue
        newly = progress.record(result)
        if not result.done and options.hint:
            number = progress.next_hint(chapter.name, hints.STEPS)
            print(f"hint {number} of {hints.STEPS}: {hints.hint(folder, result, number)}")
            return 1
        if asked or options.all or not result.done or newly:
            print(describe(result, folder, newly, progress.hints.get(chapter.name, 0)))
        wrong |= not result.done
        if wrong and not options.all:
            return 1
    if not asked and not wrong:
        print(f"all {len(CHAPTERS)} chapters are done")
    return int(wrong)


def _print_json(folders, chapters):
    """Print an object a folder, a line each."""
    wrong = False
    for folder, results in _check_all(folders, chapters):
        found = {"folder": str(folder), "chapters": [result.to_json() for result in results]}
        print(json.dumps(found), flush=True)
        wrong |= not all(result.done for result in results)
    return int(wrong)


def _check_all(folders, chapters):
    """Yield (folder, [Result, ...]) in order; as many at a time as there are processors."""

    def every(folder):
        return folder, [_result(folder, chapter, thorough=False) for chapter in chapters]

    with ThreadPoolExecutor(cores()) as pool:
        yield from pool.map(every, folders)


def _result(folder, chapter, thorough):
    """Return the Result of any chapter; `thorough` trains at milestones, and times the kernel."""
    if chapter.milestone:
        return milestones.check(folder, chapter, thorough)
    if chapter.name == "kernel":
        return kernel_chapter.check(folder, chapter, thorough)
    return check_chapter(folder, chapter)


def watch(options):
    folder = _folder(options.folder)
    settings = argparse.Namespace(hint=False, all=False)
    known = None
    while True:
        known = wait_for_change([folder / f"{name}.py" for name in stubs.NAMES], known)
        print("\n" * 2, end="")
        _check_one(folder, None, settings, thorough=False)
        print(f"(watching {folder}; Ctrl-C ends it)", flush=True)


def status(options):
    folder = _folder(options.folder)
    ((_, results),) = _check_all([folder], CHAPTERS)
    done = [result.done and not _untrained(result) for result in results]
    for result, mark in zip(results, done, strict=True):
        title = f"{result.chapter.number:2}  {result.chapter.title}"
        print(f"[{'x' if mark else ' '}] {title}{', not trained yet' * _untrained(result)}")
    width = 40 * sum(done) // len(done)
    print(f"{'#' * width}{'.' * (40 - width)} {sum(done)} of {len(done)}")
    if not all(done):
        following = results[done.index(False)].chapter
        print(f"next: chapter {following.number}, {following.title}. {following.question}")


def _untrained(result):
    """Tell whether the steps of a milestone are right, and nothing has been trained with them."""
    names = [check.check for check in result.checks]
    return bool(result.chapter.milestone) and result.done and "training" not in names


def grade(options):
    folders = [Path(name) for name in options.folder if Path(name).is_dir()]
    for name in sorted(set(options.folder) - set(map(str, folders))):
        print(f"{name} is no folder, and left out", file=sys.stderr)
    table = csv.writer(sys.stdout, lineterminator="\n")
    table.writerow(["folder", "done", *(chapter.name for chapter in CHAPTERS), "first mistake"])
    for folder, results in _check_all(folders, CHAPTERS):
        wrong = next((result.first_wrong for result in results if not result.done), None)
        names = wrong and " or ".join(wrong.diagnosis)
        mistake = f"{wrong.check}: {names or wrong.message}" if wrong else ""
        done = [int(result.done) for result in results]
        table.writerow([folder, sum(done), *done, mistake])
        sys.stdout.flush()


def diagnose(options):
    checks = saved_step.diagnose(saved_step.load(options.file, options.weights))
    ok = all(check.ok for check in checks)
    if options.json:
        print(json.dumps({"ok": ok, "checks": [check.to_json() for check in checks]}))
    else:
        print(show_checks(checks))
        print(
            "all of it is right"
            if ok
            else f"the first that is wrong: {next(c.check for c in checks if not c.ok)}"
        )
    return int(not ok)


def _folder(name):
    if not Path(name).is_dir():
        raise UsageError(f"{name} is no folder; `start {name}` makes one")
    if hunt_commands.is_hunt(name):
        raise UsageError(f"{name} is a bug hunt: it is only checked")
    return Path(name)


def _chapter(text):
    try:
        return by_number(text)
    except ValueError as error:
        raise UsageError(error) from error


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m scratchnet.exercises",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, text):
        sub = commands.add_parser(function.__name__, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    sub = command(start, "make a folder of files to fill in")
    sub.add_argument("folder", help="a new one")
    sub = command(check, "check the first chapter that is not done, or the one that is named")
    sub.add_argument("folder", nargs="*", metavar="FOLDER [CHAPTER]", help="and its number or name")
    sub.add_argument("--all", action="store_true", help="go on to the chapters after it")
    sub.add_argument("--hint", action="store_true", help=f"one more hint, up to {hints.STEPS}")
    sub.add_argument("--solution", metavar="CHAPTER", help="show ours")
    sub.add_argument("--json", action="store_true", help="all chapters, an object a folder")
    sub = command(watch, "check whenever a file is saved")
    sub.add_argument("folder")
    sub = command(status, "what is done, and what comes next")
    sub.add_argument("folder")
    sub = command(grade, "a table of many folders, a row each, as CSV")
    sub.add_argument("folder", nargs="+")
    sub.add_argument("--csv", action="store_true", help="as it is without")
    sub = command(diagnose, "name the mistake in a training step saved as .npz")
    sub.add_argument("file")
    sub.add_argument(
        "--weights", choices=["io", "oi"], help="(inputs, outputs) or (outputs, inputs)"
    )
    sub.add_argument("--json", action="store_true")
    hunt_commands.add(commands)
    return parser


if __name__ == "__main__":
    entry.run(lambda: sys.exit(main()))
