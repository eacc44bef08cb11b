"""Whoever writes it differently is told so: that it is right, or which mistake is in it."""

from collections import Counter

import pytest

from scratchnet.checking.bugs import BUGS
from scratchnet.exercises import diagnosis, implementation
from scratchnet.exercises.chapters import by_number
from scratchnet.exercises.check import judge
from scratchnet.exercises.implementation import FILES, PACKAGE, Implementation
from tests.exercises.rewrites import GROUPS, rewrites


def rewritten(file, pairs):
    """Our implementation with texts of one file exchanged."""
    sources = implementation.sources()
    path, text = sources[file]
    for right, other in pairs:
        assert text.count(right) == 1, f"{PACKAGE / FILES[file]} holds {right!r} not once"
        text = text.replace(right, other)
    return Implementation(sources | {file: (path, text)})


def alarms(chapter, nn):
    """The checks that the chapter finds wrong with an implementation."""
    traces = diagnosis.trace(nn, chapter.probe, chapter.cases())
    return [check for check in judge(chapter, traces) if not check.ok]


@pytest.mark.parametrize("name", dict.fromkeys(name for name, *_ in GROUPS))
def test_right_rewrites_pass(name):
    chapter = by_number(name)
    for chapter_name, file, pairs in rewrites():
        if chapter_name == name:
            assert not alarms(chapter, rewritten(file, pairs)), pairs


def test_there_are_at_least_200_of_them_all_different():
    found = Counter(str(rewrite) for rewrite in rewrites())
    assert len(found) >= 200
    assert max(found.values()) == 1


# Among these rewrites the same text is another mistake: (name of a mistake, what is rewritten).
ANOTHER_MISTAKE = {
    ("Momentum averages: v gets (1 - momentum) g", "v += self.weight_decay * p"),
    ("One sum for the whole batch", "np.log(total).sum()"),
}


def pairs():
    """Return [(chapter, mistake, text, implementation)]: mistakes in rewrites with a place for it.

    Left out are those that are another mistake there.
    """
    found = []
    for name, file, sites, _ in GROUPS:
        for bug in (bug for bug in BUGS if bug.file == FILES[file]):
            for right, text in ((site.right, text) for site in sites for text in site.others):
                if any(bug.name == its and part in text for its, part in ANOTHER_MISTAKE):
                    continue
                sources = implementation.sources()
                path, ours = sources[file]
                try:
                    planted = bug.plant(ours.replace(right, text))
                except ValueError:
                    continue  # the mistake is in the text that is rewritten
                nn = Implementation(sources | {file: (path, planted)})
                found.append((by_number(name), bug.name, text, nn))
    return found


def count_named(some):
    """Count the pairs in which the chapter gives the mistake its name, and no other.

    Left out are mistakes that the chapter does not show, and texts that do not run with them.
    """
    count = 0
    for chapter, name, text, nn in some:
        wrong = alarms(chapter, nn)
        if wrong and wrong[0].check != "runs":
            assert {name for check in wrong for name in check.diagnosis} == {name}, text
            count += 1
    return count


def test_a_mistake_in_a_rewrite_has_the_name_that_it_has_in_our_text():
    assert count_named(pairs()[::25]) >= 20


@pytest.mark.exhaustive
def test_every_mistake_in_every_rewrite_has_its_name_and_the_readme_says_in_how_many_pairs():
    readme = (implementation.PACKAGE / "exercises/README.md").read_text(encoding="utf-8")
    assert f"{count_named(pairs())} pairs of a mistake and a rewrite" in readme
