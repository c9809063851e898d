"""All cases: the text tables in this folder, and what every tool that opens a file must refuse.

A line is ``COMMAND => WORDS``; ``COMMAND << CONFIG`` adds a line to ``config.py``, and ``COMMAND @
NAME`` spoils the data by the function of :mod:`tests.bad_inputs.data`. ``(late)`` before the words
says that the error is found in the work, and what the run had logged is left.
"""

from __future__ import annotations

from pathlib import Path

from tests.bad_inputs import data
from tests.bad_inputs.bench import Case

FOLDER = Path(__file__).parent
SETTING = 'train config.py --work-dir run --cfg-options '
OPENS = (
    'train config.py --work-dir run --cfg-options load_from={}',
    'train config.py --work-dir run --cfg-options model.pretrained={}',
    'test config.py {} --work-dir run',
    'export config.py {} --out out',
    'probe config.py {} --json out.json',
)
"""How a checkpoint is named."""
READS = (
    'train {} --work-dir run',
    'fit {} --cap 9GiB',
    'localize {} --num-modules 2 -o out.py',
    'memory {} --num-modules 2',
    'benchmark {} --no-time --num-modules 2',
    'test {} good.pth --work-dir run',
    'export {} good.pth --out out',
    'probe {} good.pth --json out.json',
    'recipes --measure {}',
    'methods --json x.json --methods dgl --costs {}',
)
"""How a config is named."""
ALL = 3
"""So many of :data:`READS` get every config; of the others each gets some: all read by one way."""


def read(line: str) -> Case:
    """Read a line of a table.

    Raises:
        ValueError: It has no words.
    """
    command, arrow, words = line.partition(' => ')
    if not (arrow and words.strip()):
        raise ValueError(f'a line is COMMAND => WORDS, got {line!r}')
    late = words.startswith('(late)')
    words = words.removeprefix('(late)').strip()
    command, _, config = command.partition(' << ')
    command, _, spoil = command.partition(' @ ')
    leaves = 'run' if late else ''
    spoiled = getattr(data, spoil) if spoil else None
    return Case(command, words, config.replace('; ', '\n') + '\n', spoiled, late, leaves)


def lines(name: str) -> list[str]:
    """Return the rows of a text table; comments and empty lines are none."""
    text = (FOLDER / f'{name}.txt').read_text()
    return [line for line in text.splitlines() if line.strip() and not line.startswith('#')]


def all_cases() -> tuple[Case, ...]:
    """Return the whole table."""
    cases = [read(SETTING + line) for line in lines('settings')]
    for name in ('arguments', 'configs', 'data'):
        cases += [read(line) for line in lines(name)]
    for line in lines('checkpoints'):
        file, arrow, words = line.partition(' => ')
        cases += [read(form.format(file) + arrow + words) for form in OPENS]
    for number, line in enumerate(lines('config_files')):
        file, arrow, words = line.partition(' => ')
        own = READS[ALL + number % (len(READS) - ALL)]
        cases += [read(form.format(file) + arrow + words) for form in (*READS[:ALL], own)]
    return tuple(cases)


CASES = all_cases()
