"""Tools run as a user runs them, on a tiny config and generated street scenes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer
from mmseg.visualization import SegLocalVisualizer

from infopro import command
from mmseg_infopro.datasets.cityscapes_tree import inspect_tree, prepare_tree
from mmseg_infopro.datasets.streets import StreetSettings, write_streets

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = [
    '{configs}/_base_/models/deeplabv3_r18.py',
    '{configs}/_base_/datasets/streets.py',
    '{configs}/_base_/schedules/sgd_poly.py',
    '{configs}/_base_/runtime.py',
]
model = dict(
    type='InfoProEncoderDecoder',
    data_preprocessor=dict(size=(64, 64)),
    backbone=dict(type='InfoProResNetV1c', stem_channels=8, base_channels=8),
    decode_head=dict(in_channels=64, channels=8),
    auxiliary_head=dict(in_channels=32, channels=8),
    local=dict(
        boundaries=['layer2.0'],
        heads=[dict(type='FCNHead', channels=8, num_convs=1, concat_input=False)],
    ),
)
train_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='RandomCrop', crop_size=(64, 64)),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadCheckedImage'),
    dict(type='LoadCheckedAnnotations', num_classes=19),
    dict(type='PackSegInputs'),
]
dataset = dict(data_root='{data}', pipeline=test_pipeline)
workers = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **workers,
    batch_size=2,
    dataset=dict(dataset=dict(data_root='{data}', pipeline=train_pipeline)),
)
val_dataloader = dict(**workers, dataset=dataset)
test_dataloader = dict(**workers, dataset=dataset)
train_cfg = dict(max_iters=2, val_interval=100)
default_hooks = dict(checkpoint=dict(interval=2))
"""


@dataclass(frozen=True)
class Outcome:
    """What a user sees of a command."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of a command that failed."""
        assert self.status == 2, self.err
        assert 'Traceback' not in self.err
        (line,) = [line for line in self.err.splitlines() if line.startswith('error: ')]
        return line


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny convolutions are faster, on a busy machine much faster, without more threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope='session')
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared street scenes. Shared, so read only."""
    root = tmp_path_factory.mktemp('streets')
    write_streets(root, StreetSettings(train=4, val=2, height=64, width=128))
    prepare_tree(inspect_tree(root).frames)
    return root


def write_config(folder: Path, streets: Path, more: str = '', name: str = 'tiny') -> Path:
    path = folder / f'{name}.py'
    path.write_text(CONFIG.format(configs=ROOT / 'configs', data=streets) + more)
    return path


@pytest.fixture
def config(tmp_path: Path, streets: Path) -> Path:
    """Two local modules on street scenes."""
    return write_config(tmp_path, streets)


NUMBERS = count()


def run_tool(name: str, *args: object) -> int:
    """Run a tool's main in this process, as a fresh one would; return its exit status."""
    # A logger of its own: an earlier tool may have quietened the one that is there.
    MMLogger.get_instance(f'tool {next(NUMBERS)}')
    for kind in (Visualizer, SegLocalVisualizer):  # those of an earlier run write into its folder
        kind._instance_dict.clear()
    disabled = logging.root.manager.disable  # some tools silence their whole process
    with DefaultScope.overwrite_default_scope(None):
        argv, sys.argv = sys.argv, [name, *map(str, args)]
        try:
            return command.run(name)
        finally:
            sys.argv = argv
            logging.disable(disabled)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs a tool in a folder of its own: `run('train', config, '--amp')`."""
    monkeypatch.chdir(tmp_path)
    return partial(run_in_process, capfd)


@pytest.fixture
def run_at_root(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a tool as `run` does, in the root of the repository."""
    monkeypatch.chdir(ROOT)
    return partial(run_in_process, capfd)


def run_in_process(capfd: pytest.CaptureFixture[str], name: str, *args: object) -> Outcome:
    """Return what a user would see of a tool: importing all anew would take most of the time."""
    capfd.readouterr()
    try:
        status = run_tool(name, *args)
    except SystemExit as stop:
        status = int(stop.code or 0)
    return Outcome(status, *capfd.readouterr())


def metrics_file(outcome: Outcome) -> Path:
    """Return the file that `test` says it wrote."""
    (line,) = [line for line in outcome.out.splitlines() if line.startswith('written: ')]
    return Path(line.removeprefix('written: '))


@dataclass(frozen=True)
class Trained:
    """A finished run, to be read only."""

    config: Path
    work_dir: Path
    checkpoint: Path


@pytest.fixture(scope='session')
def trained(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Two iterations in two local modules."""
    folder = tmp_path_factory.mktemp('trained')
    config = write_config(folder, streets)
    if run_tool('train', config, '--work-dir', folder / 'run') != 0:
        pytest.fail('the run that the tests of the tools start from failed')
    return Trained(config, folder / 'run', folder / 'run' / 'iter_2.pth')


class CreatesFile:
    """Unpickling it would run a shell command."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f'touch {self.path}',)


@pytest.fixture
def hostile(trained: Trained, tmp_path: Path) -> Path:
    """A checkpoint that would leave the file `trace` beside it."""
    content = torch.load(trained.checkpoint, weights_only=False)
    path = tmp_path / 'hostile.pth'
    torch.save({**content, 'more': CreatesFile(tmp_path / 'trace')}, path)
    return path


@pytest.fixture
def cut_off(trained: Trained, tmp_path: Path) -> Path:
    """The first half of a checkpoint."""
    path = tmp_path / 'cut_off.pth'
    content = trained.checkpoint.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path
