"""One bad input: a command line, what is there, and what the sentence must say."""

from __future__ import annotations

import hashlib
import logging
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.bad_inputs.made import MADE
from tests.tools.conftest import Outcome, Run, Trained, write_config

ERROR = re.compile(r'(\S+: )?error: ')
"""How the sentence begins: our own, or argparse's."""
LISTS = 'prepare_cityscapes'
"""Says all that is wrong with a tree, one sentence each."""
LONG_WORK = (
    'mmseg_infopro.config.step.dry_steps',
    'mmengine.optim.OptimWrapper.update_params',
    'mmseg_infopro.study.running._start',
    'mmseg_infopro.datasets.streets.tree.draw_scene',
    'mmengine.runner.TestLoop.run_iter',
)
"""What an error is to be found before."""


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        line: The command, without ``tools/`` and ``.py``. Files that :data:`MADE` knows are made.
        words: That the sentence has in it; parts between three dots, in this order.
        config: What is added to ``config.py``, two local modules on street scenes.
        data: Spoils a copy of the street scenes, which ``config.py`` then trains on.
        late: Found in or after the work: with files of that kind, which cannot be told from others
            before.
        leaves: Folders that may be left, as that of a run that had begun to log.
        status: Of the exit.
    """

    line: str
    words: str
    config: str = ''
    data: Callable[[Path], Any] | None = None
    late: bool = False
    leaves: str = ''
    status: int = 2

    @property
    def tool(self) -> str:
        return self.line.split()[0]

    @property
    def name(self) -> str:
        """Return what the test is called."""
        spoilt = self.data.__name__ if self.data else ''
        return ' '.join(filter(None, (self.line, self.config.strip(), spoilt)))[:110]


@dataclass
class Found:
    """What a bad input led to.

    Attributes:
        outcome: Of the command.
        changes: Files and folders that are new, gone or other than before.
        work: Calls of :data:`LONG_WORK`.
    """

    outcome: Outcome
    changes: list[str]
    work: list[str]

    @property
    def sentence(self) -> str:
        """Return the error's line, the last one of what was written."""
        lines = [line for line in self.outcome.err.splitlines() if line.strip()]
        return lines[-1] if lines else ''


def try_case(case: Case, run: Run, folder: Path, streets: Path, trained: Trained) -> Found:
    """Run a case in a folder of its own."""
    data = streets
    if case.data is not None:
        data = folder / 'data'
        shutil.copytree(streets, data)
        case.data(data)
    write_config(folder, data, case.config, 'config')
    tool, *arguments = shlex.split(case.line)
    for word in arguments:
        name = word.rpartition('=')[2].partition('/')[0]
        if name in MADE and not (folder / name).exists():
            MADE[name](folder / name, trained)
    places = folder, streets, trained.work_dir
    before = [contents(place) for place in places]
    with counted_work() as work, settings_of_the_process():
        outcome = run(tool, *arguments)
    changes = [
        name
        for place, old in zip(places, before, strict=True)
        for name in changed(old, contents(place))
    ]
    return Found(outcome, changes, work)


def check(case: Case, found: Found) -> None:
    """Check that a user sees one sentence, and has everything that was there."""
    outcome, sentence = found.outcome, found.sentence
    assert outcome.status == case.status, outcome.out + outcome.err
    assert 'Traceback' not in outcome.err + outcome.out
    assert ERROR.match(sentence), outcome.err
    count = sum(bool(ERROR.match(line)) for line in outcome.err.splitlines())
    assert count == 1 or (count and case.tool == LISTS), outcome.err
    assert '(traceback: ' not in sentence, 'nobody had thought of it: ' + sentence
    position = 0
    for part in case.words.split('...'):
        position = sentence.find(part.strip(), position)
        assert position >= 0, f'{part.strip()!r} is not in: {sentence}'
    kept = [name for name in found.changes if not (case.leaves and name.startswith(case.leaves))]
    assert kept == []
    assert case.late or found.work == []


def contents(folder: Path) -> dict[str, str]:
    """Return what is in a folder: links by their target, files by a digest of their bytes."""
    found = {}
    for path in sorted(folder.rglob('*')):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f'link to {path.readlink()}'
        elif path.is_file():
            found[name] = hashlib.md5(path.read_bytes()).hexdigest()
        else:
            found[name] = 'folder'
    return found


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Return the names that are new, gone, or stand for something else."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))


@contextmanager
def settings_of_the_process() -> Iterator[None]:
    """Leave what a tool sets for its own process as it was."""
    disabled, handler = logging.root.manager.disable, signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        logging.disable(disabled)
        signal.signal(signal.SIGTERM, handler)


@contextmanager
def counted_work() -> Iterator[list[str]]:
    """Note the calls of long work; they still work."""
    calls: list[str] = []
    with ExitStack() as stack:
        for name in LONG_WORK:
            stack.enter_context(_noted(name, calls))
        yield calls


def _noted(name: str, calls: list[str]) -> Any:
    attribute = name.rpartition('.')[2]
    original = patch(name).get_original()[0]

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(attribute)
        return original(*args, **kwargs)

    return patch(name, noted)
