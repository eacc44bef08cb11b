"""python -m scratchnet.exercises: write the network yourself, and be told which mistake you made."""

import argparse
import json

from scratchnet.exercises import check as checking
from scratchnet.exercises import stubs
from scratchnet.exercises.chapters import CHAPTERS, by_number

if __name__ == "__main__":
    import sys
    command, folder, *rest = sys.argv[1:]
    if command == "start":
        stubs.start(folder)
    else:
        for chapter in CHAPTERS:
            if chapter.probe:
                print(json.dumps(checking.check_chapter(folder, chapter).to_json()))
