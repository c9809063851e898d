"""Runs that are killed again and again: nothing is lost, torn, or different in one bit."""

from __future__ import annotations

import random
import re
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from mmengine.device import get_device

from mmseg_infopro.run.checkpoints import check_checkpoint
from tests.campaigns.forked import POINTS, Ended, Stop, drawn_stop, train
from tests.hooks.test_exact_resume import assert_equal
from tests.tools.conftest import write_config

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(get_device() != 'cpu', reason='a process with a GPU cannot be forked'),
]
MOST_ROUNDS = 30
PARTS = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers', 'rng_state')
BASE = """
train_cfg.update(max_iters=10, val_interval=100)
default_hooks['checkpoint'].update(interval=2, max_keep_ckpts=-1)
default_hooks['logger'] = dict(type='LoggerHook', interval=1)
param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=10, by_epoch=False)]
"""
CONTRAST = """
model['local']['heads'] = [
    dict(type='FCNHead', channels=8, num_convs=1, dropout_ratio=0.5),
    dict(type='PixelContrastHead', channels=8, num_samples=16),
]
"""
BEST = """
train_cfg.update(val_interval=2)
default_hooks['checkpoint'].update(save_best='mIoU')
"""


@dataclass(frozen=True)
class Chain:
    """A kind of run, and how often it is stopped.

    Attributes:
        changes: To the config.
        drawn: Kills at random moments.
        points: Kills at named places.
        signals: Requests to stop, at random moments.
        processes: That train together.
        arguments: Of ``tools/train.py``.
    """

    changes: str = ''
    drawn: int = 5
    points: tuple[str, ...] = ()
    signals: tuple[int, ...] = ()
    processes: int = 1
    arguments: tuple[str, ...] = ()

    @property
    def stops(self) -> int:
        return self.drawn + len(self.points) + len(self.signals)


WRITING = POINTS[:5]
EVERYWHERE = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
PIPELINE = ('--placement', 'pipeline')
CHAINS = {
    'plain': Chain(points=WRITING),
    'accumulation': Chain("optim_wrapper['accumulative_counts'] = 3\n", points=(POINTS[7],)),
    'EMA': Chain("custom_hooks = [dict(type='EMAHook')]\n", points=(POINTS[1], POINTS[7])),
    'contrast': Chain(CONTRAST, points=(POINTS[7],)),
    'save_best': Chain(BEST, points=(*WRITING, POINTS[6])),
    'max_keep_ckpts=1': Chain(
        BEST + "default_hooks['checkpoint'].update(max_keep_ckpts=1)\n", points=POINTS
    ),
    'workers': Chain("train_dataloader['num_workers'] = 2\n", drawn=4, points=(POINTS[0],)),
    'two processes': Chain(drawn=3, points=(POINTS[1], POINTS[3]), processes=2),
    'signals': Chain(BEST, drawn=0, signals=EVERYWHERE * 2),
    'signals with workers': Chain(
        "train_dataloader['num_workers'] = 2\n", drawn=0, signals=EVERYWHERE
    ),
    'signals to two processes': Chain(drawn=0, signals=EVERYWHERE[:2], processes=2),
    'pipeline': Chain(BEST, 3, (POINTS[1], POINTS[6]), processes=2, arguments=PIPELINE),
    'signals to a pipeline': Chain(
        BEST, drawn=0, signals=EVERYWHERE[:2] * 2, processes=2, arguments=PIPELINE
    ),
}


@dataclass
class Campaign:
    """One chain: its folder, and what became of its kills.

    Attributes:
        config: That is trained.
        work_dir: Of the run that is stopped.
        kills: That hit a run.
        lost: After which no checkpoint was left, though there had been one.
        torn: Files that could not be opened.
    """

    config: Path
    work_dir: Path
    processes: int = 1
    arguments: tuple[str, ...] = ()
    kills: int = 0
    lost: int = 0
    torn: list[str] = field(default_factory=list)

    def run(self, stop: Stop | None = None) -> Ended:
        """Start or resume, as a user would who looks whether there is a checkpoint."""
        before = [list(self.work_dir.glob(pattern)) for pattern in ('iter_*.pth', 'best_*.pth')]
        resume = ['--resume'] if before[0] else []
        if not resume and before[1]:
            raise AssertionError('a best checkpoint without one to resume from')
        arguments = self.config, '--work-dir', self.work_dir, *self.arguments, *resume
        ended = train(self.config.parent, *arguments, stop=stop, processes=self.processes)
        after = [list(self.work_dir.glob(pattern)) for pattern in ('iter_*.pth', 'best_*.pth')]
        for path in (*after[0], *after[1]):
            try:
                check_checkpoint(path, for_resume=path in after[0])
            except ValueError as error:
                self.torn.append(str(error))
        self.lost += sum(bool(old) and not new for old, new in zip(before, after, strict=True))
        return ended


@pytest.fixture
def campaign(tmp_path: Path, streets: Path) -> Callable[..., Campaign]:
    def begin(changes: str = '', processes: int = 1, arguments: tuple[str, ...] = ()) -> Campaign:
        config = write_config(tmp_path, streets, '')
        text = config.read_text().replace('custom_hooks', 'custom_hooks_of_base')
        config.write_text(text + merged(changes))
        return Campaign(config, tmp_path / 'run', processes, arguments)

    return begin


def merged(changes: str) -> str:
    """Return a config's text in which names of the bases can be changed."""
    names = 'default_hooks', 'optim_wrapper', 'train_dataloader', 'train_cfg', 'model'
    begin = ''.join(f'{name} = globals().get({name!r}, dict())\n' for name in names)
    return f'{begin}default_hooks.setdefault("checkpoint", dict())\n{BASE}{changes}'


@pytest.mark.parametrize('name', CHAINS)
def test_a_run_that_is_killed_again_and_again(
    name: str, campaign: Callable[..., Campaign], tmp_path: Path
) -> None:
    chain = CHAINS[name]
    generator = random.Random(name)
    killed = campaign(chain.changes, chain.processes, chain.arguments)
    straight = Campaign(killed.config, tmp_path / 'straight', chain.processes, chain.arguments)
    ended = straight.run()
    assert set(ended.statuses) == {0}, ended.output
    stops = [drawn_stop(generator) for _ in range(chain.drawn)]
    stops += [Stop(at=point) for point in chain.points]
    stops += [drawn_stop(generator, number) for number in chain.signals]
    generator.shuffle(stops)
    rounds = 1
    while stops:
        ended = killed.run(stops[-1])
        hit = any(ended.statuses)
        if hit:
            killed.kills += 1
            check_stopped(stops.pop(), ended)
        else:  # it came to the end before: another run from the start
            check_same(straight.work_dir, killed.work_dir)
            shutil.rmtree(killed.work_dir)
            rounds += 1
            assert rounds < MOST_ROUNDS, f'{stops[-1]} never comes'
    ended = killed.run()
    assert set(ended.statuses) == {0}, ended.output
    print(
        f'faults: {name}: {killed.kills} stops in {rounds} runs to the end, {killed.lost} lost, '
        f'{len(killed.torn)} half-written, all bit for bit'
    )
    assert (killed.lost, killed.torn) == (0, [])
    check_same(straight.work_dir, killed.work_dir)
    left = [path.name for path in killed.work_dir.iterdir() if path.suffix == '.partial']
    assert left == []


def check_stopped(stop: Stop, ended: Ended) -> None:
    """Check that a run ended as it was stopped; one that was asked to has saved its last step."""
    if stop.signal == signal.SIGKILL:
        assert -signal.SIGKILL in ended.statuses, ended.output
        return
    assert set(ended.statuses) == {128 + stop.signal}, ended.output
    saved = re.search(r'saved \S*iter_(\d+)\.pth; --resume', ended.output)
    stopped = re.search(r'after iteration (\d+):', ended.output)
    assert saved and stopped and saved[1] == stopped[1], ended.output


def check_same(straight: Path, killed: Path) -> None:
    """Check that two runs have left the same, bit for bit."""
    for pattern in ('iter_10.pth', 'best_*.pth'):
        names = [sorted(path.name for path in run.glob(pattern)) for run in (straight, killed)]
        assert names[0] == names[1]
        for name in names[0]:
            one, other = (check_checkpoint(run / name) for run in (straight, killed))
            for part in PARTS:
                assert_equal(one.get(part), other.get(part))


def test_the_campaign_is_large_enough() -> None:
    kills = sum(chain.drawn + len(chain.points) for chain in CHAINS.values())
    assert kills >= 60
