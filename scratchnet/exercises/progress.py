"""What a learner has done so far, in the file .progress.json of the folder."""

import json
from pathlib import Path

from scratchnet.files import write_json


class Progress:
    """Which chapters were done when last checked, and how many hints each has cost.

    A file that cannot be read counts as none: it only decides what is said, never what is right.
    """

    def __init__(self, folder):
        self._path = Path(folder, ".progress.json")
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self.done = {str(name) for name in known["done"]}
            self.hints = {str(name): int(count) for name, count in known["hints"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.done, self.hints = set(), {}

    def record(self, result):
        """Take note of a Result; return whether its chapter is done for the first time."""
        name, known = result.chapter.name, set(self.done)
        self.done = self.done | {name} if result.done else self.done - {name}
        if self.done != known:
            self.save()
        return result.done and name not in known

    def next_hint(self, name, last):
        """Count one more hint for a chapter, up to the last; return its number, from 1."""
        self.hints[name] = min(self.hints.get(name, 0) + 1, last)
        self.save()
        return self.hints[name]

    def save(self):
        """OSError if the folder is not writable."""
        write_json(self._path, {"done": sorted(self.done), "hints": self.hints})
