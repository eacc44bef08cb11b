"""What is shown of a check in a terminal."""

import shutil
import textwrap

from scratchnet.exercises.chapters import CHAPTERS
from scratchnet.exercises.hints import STEPS


def describe(result, folder, newly_done, hints):
    """Return the text of a Result.

    Args:
        newly_done: the chapter was not done before: then the answer to its question is due.
        hints: how many have been given already.
    """
    chapter = result.chapter
    lines = [f"chapter {chapter.number} of {len(CHAPTERS)}, {chapter.title}"]
    if result.printed:
        lines.append(textwrap.indent(f"it printed: {result.printed}", "  "))
    lines.append(show_checks(result.checks))
    if result.done:
        lines.append("  done")
        if newly_done:
            lines += [_wrapped(chapter.question, "  "), _wrapped(chapter.answer, "  ")]
    elif result.first_wrong.check == "written":
        lines.append(_wrapped(f"before you write it: {chapter.question}", "  "))
        if chapter.section:
            lines.append(f"  derived in scratchnet/nn/README.md#{chapter.section}")
    elif hints < STEPS:
        lines.append(f"  hint {hints + 1} of {STEPS}: check {folder} --hint")
    return "\n".join(lines)


def show_checks(checks):
    """Return the checks as text: what is right in one line, each mistake in a paragraph.

    Of what is wrong after the first, only what names another mistake, or ended it all, has one.
    """
    right = [check.check for check in checks if check.message.startswith("ok")]
    parts = [_wrapped(f"ok: {', '.join(right)}", "  ")] if right else []
    named, also = None, []  # what has been named so far; None before anything is wrong
    for check in checks:
        if check.check in right:
            continue
        new = named is None or check.check in ("runs", "written") or {*check.diagnosis} - named
        if not check.ok and not new:
            also.append(check.check)
            continue
        parts.append(_wrapped(f"{check.check}: {check.message}", "  "))
        if check.example:
            parts.append(textwrap.indent(check.example, "      "))
        if not check.ok:
            named = {*(named or ()), *check.diagnosis}
    if also:
        parts.append(
            _wrapped(f"also wrong, as a consequence or by itself: {', '.join(also)}", "  ")
        )
    return "\n".join(parts)


def _wrapped(text, indent):
    width = min(shutil.get_terminal_size().columns, 100)
    return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent + "  ")
