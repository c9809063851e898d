"""What staleness costs and gains where one process is slow: the demo's network, two processes.

Trains the half-width DeepLabV3-R18 of the demo from scratch on generated street scenes, a thread
each: exactly; exactly with one slow process, for the time alone, as its weights are the same; and
asynchronously with that process slow. Prints a table as it goes; minutes a run, on quiet cores.

    python -m tests.parallel.slow_process data/streets work_dirs/slow --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import subprocess
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

from tests.parallel.test_killed_process import job_environment
from tests.tools.conftest import ROOT

BOUNDARY = 'layer3.1'
SHORT = 100
"""Iterations that are enough for the time."""
CONFIG = """
_base_ = '{configs}/streets/infopro_deeplabv3_r18.py'
custom_imports = dict(imports=['mmseg_infopro', 'slow'], allow_failed_imports=False)
custom_hooks = [dict(type='SlowHook', process={process}, seconds={seconds})]
model = dict(local=dict(boundaries=['{boundary}'], num_modules=None, in_flight=1))
randomness = dict(seed={seed})
train_cfg = dict(max_iters={iterations}, val_interval={interval})
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval={interval}))
train_dataloader = dict(num_workers=0, persistent_workers=False,
                        dataset=dict(dataset=dict(data_root='{data}')))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root='{data}'))
test_dataloader = val_dataloader
"""
SLOW_HOOK = """
import time
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

@HOOKS.register_module()
class SlowHook(Hook):
    def __init__(self, process, seconds, first=0):
        self.process, self.seconds, self.first = process, seconds, first
    def before_train(self, runner):
        if runner.rank == self.process:
            backbone = runner.model.module.backbone
            layer = (backbone.layer1, backbone.layer4)[runner.rank][0]
            layer.register_forward_pre_hook(lambda *_: self.wait(runner))
    def wait(self, runner):
        if runner.model.training and runner.iter >= self.first:
            time.sleep(self.seconds)
"""


def figures(run: Path) -> tuple[list[float], list[float]]:
    """Return the seconds of iterations between logs, but for the first ones, and mIoUs."""
    (log,) = run.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    times = [line['time'] for line in lines if 'loss' in line][1:]
    return times, [line['mIoU'] for line in lines if 'mIoU' in line]


@dataclass(frozen=True)
class SlowRun:
    """One run; ``process`` -1 is none."""

    seed: int
    process: int
    staleness: int
    seconds: float
    iterations: int
    interval: int

    @property
    def name(self) -> str:
        slow = f'process {self.process} slow' if self.process >= 0 else 'none slow'
        return f'seed {self.seed}, {slow}, staleness {self.staleness}'

    def row(self, folder: Path, data: Path) -> str:
        """Train unless that is done, and return a row of the table."""
        run = folder / self.name.replace(', ', '_').replace(' ', '')
        if not (run / 'done').exists():
            self.train(run, data)
            (run / 'done').touch()
        times, mious = figures(run)
        miou = f'{mious[-1]:.2f}' if self.iterations == self.interval else ''
        return f'| {self.name} | {1000 * median(times):.0f} ms | {miou} |'

    def train(self, run: Path, data: Path) -> None:
        folder, config = run.parent.resolve(), run.with_suffix('.py')
        folder.mkdir(parents=True, exist_ok=True)
        (folder / 'slow.py').write_text(SLOW_HOOK)
        places = dict(configs=ROOT / 'configs', data=data.resolve(), boundary=BOUNDARY)
        config.write_text(CONFIG.format(**vars(self), **places))
        command = [
            *(str(ROOT / 'tools/dist_train.sh'), str(config), '2', '--work-dir', str(run)),
            *('--placement', 'pipeline'),
            *('--cfg-options', f'model.local.staleness={self.staleness}'),
        ]
        with run.with_suffix('.log').open('w') as log:
            environment = job_environment(folder)
            subprocess.run(command, env=environment, stdout=log, stderr=log, check=True)


def main() -> None:
    """Run all, and print a row of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='of tools/make_streets.py, prepared')
    parser.add_argument('folder', type=Path, help='for the runs; finished ones are kept')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--staleness', type=int, default=4)
    parser.add_argument('--seconds', type=float, default=0.4, help='that a slow process sleeps')
    parser.add_argument('--iterations', type=int, default=500)
    args = parser.parse_args()
    runs = []
    for seed in args.seeds:
        whole = partial(SlowRun, seed, iterations=args.iterations, interval=args.iterations)
        runs.append(whole(-1, 0, args.seconds))
        for process in (0, 1):
            runs.append(whole(process, args.staleness, args.seconds))
            if seed == args.seeds[0]:
                runs.append(replace(runs[-1], staleness=0, iterations=SHORT))
    print('| run | step, median | mIoU |\n|---|---|---|', flush=True)
    for run in runs:
        print(run.row(args.folder, args.data), flush=True)


if __name__ == '__main__':
    main()
