"""What tools write to a disk that is full: one sentence, and the old files are as they were."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bad_inputs.bench import ERROR, changed, contents
from tests.bad_inputs.data import one_mask_missing
from tests.bad_inputs.made import MADE
from tests.campaigns.disk import Disk, small_disk
from tests.tools.conftest import Run, Trained, write_config

pytestmark = pytest.mark.campaign
COMMANDS = (
    'memory config.py --num-modules 2 --brief --json DISK/old.json',
    'memory config.py --num-modules 2 --brief --picture DISK/old.png',
    'fit config.py --cap 100% --num-modules 2 -o DISK/old.py --force',
    'localize config.py --num-modules 2 --brief -o DISK/old.py --force',
    'localize config.py --num-modules 2 --brief -o DISK/new.py',
    'benchmark config.py --no-time --num-modules 2 --recompute none --json DISK/old.json',
    'test config.py good.pth --work-dir run --out DISK/old.json',
    'export config.py good.pth --out DISK/exported',
    'probe config.py good.pth --iters 1 --boundaries layer2.0 --json DISK/old.json',
    'report half_run --out DISK/old.html',
    'recipes --docs DISK/old.md',
    'methods --json DISK/new.json --costs config.py --methods dgl --num-modules 2',
    'make_streets --out DISK/streets --train 1 --val 1 --workers 0',
    'prepare_cityscapes DISK/data --workers 0',
    'gpu_report --small --device cpu --only plan --out DISK/card',
)
OLD = ('old.json', 'old.png', 'old.py', 'old.html', 'old.md')


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / 'disk', 2**20) as found:
        yield found


@pytest.mark.parametrize('command', COMMANDS)
def test_an_output_on_a_full_disk(
    command: str, disk: Disk, run: Run, tmp_path: Path, streets: Path, trained: Trained
) -> None:
    write_config(tmp_path, streets, name='config')
    tool, *arguments = shlex.split(command.replace('DISK', str(disk.path)))
    for word in set(arguments) & MADE.keys():
        MADE[word](tmp_path / word, trained)
    for name in OLD:
        (disk.path / name).write_text('old')
    if tool == 'prepare_cityscapes':
        shutil.copytree(streets, disk.path / 'data')
        one_mask_missing(disk.path / 'data')
    disk.fill()
    before = contents(disk.path)
    outcome = run(tool, *arguments)
    assert outcome.status == 2, outcome.out + outcome.err
    assert 'Traceback' not in outcome.out + outcome.err
    (sentence,) = [line for line in outcome.err.splitlines() if ERROR.match(line)]
    assert re.search(rf'No space left on device.*{disk.path}', sentence), sentence
    assert 'traceback' not in sentence
    new_folders = [name for name in changed(before, contents(disk.path)) if name not in before]
    assert changed(before, contents(disk.path)) == new_folders
    assert all((disk.path / name).is_dir() for name in new_folders)
    print(f'faults: full disk, {tool}: 1 sentence, no old file changed, no new one begun')
