"""Two trainings of one network beside each other: a table of figures, and a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmseg.registry import DATASETS
from PIL import Image
from rich.table import Table

from ..config.build import build_model
from ..config.pretrained import without_pretrained
from ..config.read import read_config
from ..config.resolve import resolve
from ..config.step import config_peak
from ..datasets.label_statistics import class_counts, constant_prediction_scores
from ..hooks.pictures import Example, comparison_figure, make_example
from ..measure.sizes import table_unit
from ..report.baselines import E2E, end_to_end_forms
from ..report.run_files import RunFiles
from ..run.checkpoints import check_checkpoint
from ..run.weights import checkpoint_weights
from .summary import read_record

CITYSCAPES = 'mmseg_infopro::infopro_deeplabv3_cityscapes.py'
PICTURED = (0, 1, 5)
READ = ('validations', 'predicted_peak', 'timing')


def comparison_table(records: Mapping[str, Path], advance: Callable[[], None]) -> Table:
    """Return mIoU, peak and seconds of a step of two runs, and what the second is of the first.

    Args:
        records: Of end-to-end training, then of local modules, by name.
        advance: Called after each of two dry steps of a larger network.
    """
    first, second = (read_record(file, READ) for file in records.values())
    table = Table(
        title='The same network, data and iterations, at the same time',
        caption='peak: of a training step, predicted on fake tensors; step: median, data excluded',
    )
    for column in ('', *records, 'ratio'):
        table.add_column(column, justify='right' if column else 'left')
    scores = [record['validations'][-1]['mIoU'] for record in (first, second)]
    seconds = [record['timing']['seconds_per_step'] for record in (first, second)]
    table.add_row('mIoU, validation scenes', *(f'{score:.1f} %' for score in scores), '')
    table.add_row('peak', *_sizes(first['predicted_peak'], second['predicted_peak']))
    table.add_row(
        'step', *(f'{value:.3f} s' for value in seconds), f'{seconds[1] / seconds[0]:.1%}'
    )
    cfg = read_config(CITYSCAPES)
    peaks = []
    for form in (end_to_end_forms(cfg)[E2E], resolve(cfg)):
        peaks.append(config_peak(form).total)
        advance()
    table.add_row('peak, R101 on Cityscapes', *_sizes(*peaks))
    return table


def _sizes(first: int, second: int) -> tuple[str, str, str]:
    unit, size = table_unit(first)
    return f'{first / size:.2f} {unit}', f'{second / size:.2f} {unit}', f'{second / first:.1%}'


def majority_line(root: Path, cfg: Config) -> str:
    """Return what always predicting the most frequent class would score, as a sentence."""
    train, val = (
        class_counts(
            (
                np.asarray(Image.open(path))
                for path in sorted((root / 'gtFine' / split).rglob('*_labelTrainIds.png'))
            ),
            cfg.model.decode_head.num_classes,
        )
        for split in ('train', 'val')
    )
    majority = int(train.argmax())
    name = DATASETS.get(cfg.val_dataloader.dataset.type).METAINFO['classes'][majority]
    score = constant_prediction_scores(val, majority)['mIoU']
    return f'to compare: mIoU is {score:.1f} % where everything is predicted to be {name}'


def predictions_figure(runs: Mapping[str, RunFiles]) -> Figure:
    """Draw validation images, and what two networks make of them.

    Args:
        runs: Of end-to-end training, then of local modules, by name.
    """
    other, name = runs
    cfg = runs[name].cfg
    data = DATASETS.build(cfg.val_dataloader.dataset)
    indices = [index for index in PICTURED if index < len(data)]
    beside, examples = (_examples(run, data, indices) for run in runs.values())
    rows = [
        replace(example, beside={other: before.prediction})
        for example, before in zip(examples, beside, strict=True)
    ]
    return comparison_figure(rows, data.metainfo['classes'], data.metainfo['palette'], name)


def _examples(run: RunFiles, data: Any, indices: list[int]) -> list[Example]:
    model = build_model(without_pretrained(run.cfg.model))
    checkpoint = check_checkpoint(str(run.work_dir / run.checkpoints[-1]))
    model.load_state_dict(checkpoint_weights(checkpoint))
    model.eval()
    return [make_example(model, data[index]) for index in indices]
