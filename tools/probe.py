"""Show what each unit of a trained network still knows of the labels and of the image.

The network is frozen. After every unit a linear classifier, a head of two layers and a decoder of
the image train anew and are tried on the validation images: how separable the classes are, what a
later module could still make of it, and what is left of the image. Compare networks trained in
several ways by --with and the --json of each.

Example:
    python tools/probe.py work_dirs/k4/infopro_deeplabv3_r18.py work_dirs/k4/iter_2500.pth \\
        --json k4.json --with e2e.json --picture probe.png
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console

from mmseg_infopro.commands import (
    PICTURES,
    check_outputs,
    command,
    config_parser,
    progress_bar,
)
from mmseg_infopro.config.build import build_model, is_local
from mmseg_infopro.config.check_config import check_loaders
from mmseg_infopro.config.localize import localize
from mmseg_infopro.config.pretrained import without_pretrained
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.resolve import resolve
from mmseg_infopro.datasets import check_data, check_first_samples, check_labels
from mmseg_infopro.files.outputs import check_distinct, check_output
from mmseg_infopro.files.whole import write_whole
from mmseg_infopro.hooks.pictures import comparison_figure, make_example
from mmseg_infopro.hooks.pictures_hook import evenly_spaced
from mmseg_infopro.report.figures import save_figure
from mmseg_infopro.run.checkpoints import check_checkpoint
from mmseg_infopro.run.weights import check_context, check_weights_fit, checkpoint_weights
from mmseg_infopro.study.probe import Knowledge, Probes, train_probes
from mmseg_infopro.study.probe_report import (
    ProbedCheckpoint,
    probe_figure,
    probe_sentence,
    probe_table,
)
from mmseg_infopro.study.probe_scores import evaluate_probes


def parse_args() -> argparse.Namespace:
    parser = config_parser(__doc__)
    add = parser.add_argument
    add('checkpoint', help='of a training with this config')
    add('--boundaries', nargs='+', metavar='UNIT', help='units to probe (default: all)')
    add('--iters', type=int, default=300, help='of the fresh heads (default: 300)')
    add('--images', type=int, metavar='N', help='validation images to try them on (default: all)')
    add('--name', help="in tables and pictures (default: the checkpoint's folder)")
    add('--json', type=Path, help='write the figures to this file as well')
    add('--with', dest='others', nargs='+', type=Path, default=[], metavar='JSON', help='compare')
    add('--picture', type=Path, help='draw the figures over the units')
    add('--reconstructions', type=Path, help="draw what the network's own local heads rebuild")
    return parser.parse_args()


def build(cfg: Config, checkpoint: str) -> Any:
    """Return the trained model, in a form whose units can be run one by one."""
    weights = checkpoint_weights(check_checkpoint(checkpoint))
    cfg = resolve(cfg if is_local(cfg.model) else localize(cfg, 1))
    check_context(cfg.model, weights, checkpoint)
    model = build_model(without_pretrained(cfg.model))
    check_weights_fit(model, weights, checkpoint)
    model.load_state_dict(weights, strict=False)
    return model


def read_probed(file: Path) -> ProbedCheckpoint:
    try:
        content = json.loads(file.read_text())
        knowledge = [Knowledge(**point) for point in content['knowledge']]
        return ProbedCheckpoint(content['name'], knowledge, content['own'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'--with {file}: not the --json of a probe ({error})') from error


@command
def main() -> None:
    args, console = parse_args(), Console()
    read = [args.config, args.checkpoint, *args.others]
    check_outputs(args.json, args.picture, inputs=read)
    check_output('--reconstructions', args.reconstructions, PICTURES, inputs=read)
    check_distinct(json=args.json, picture=args.picture, reconstructions=args.reconstructions)
    for option in ('iters', 'images'):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ValueError(f'--{option} must be at least 1, got {value}')
    others = [read_probed(file) for file in args.others]
    cfg = read_config(args.config, args.cfg_options)
    for key in ('train_dataloader', 'val_dataloader'):
        if not cfg.get(key):
            raise ValueError(f'a probe needs {key}, which the config lacks')
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    check_data(cfg, ('train', 'val'))
    check_labels(cfg)
    check_first_samples(cfg, ('train', 'val'))
    check_loaders(cfg, ('train', 'val'))
    model = build(cfg, args.checkpoint)
    torch.manual_seed(0)
    probes = Probes(model, args.boundaries)
    if torch.cuda.is_available():
        model.cuda(), probes.cuda()
    train, validation = (
        Runner.build_dataloader(loader, seed=0)
        for loader in (cfg.train_dataloader, cfg.val_dataloader)
    )
    with progress_bar('training heads', args.iters) as advance:
        train_probes(probes, train, args.iters, advance=advance)
    count = min(args.images or len(validation), len(validation))
    chosen = set(evenly_spaced(len(validation), count))
    batches = (data for index, data in enumerate(validation) if index in chosen)
    with progress_bar('validation', count) as advance:
        knowledge, own = evaluate_probes(probes, batches, advance)
    name = args.name or Path(args.checkpoint).resolve().parent.name
    probed = [*others, ProbedCheckpoint(name, knowledge, own)]
    for one in probed:
        console.print(probe_table(one))
    for one in probed:
        console.print(probe_sentence(one), highlight=False, soft_wrap=True)
    if args.json:
        write_whole(args.json, json.dumps(asdict(probed[-1]), indent=1) + '\n')
    if args.picture:
        save_figure(probe_figure(probed), args.picture, dpi=110)
    if args.reconstructions:
        dataset = validation.dataset
        examples = [
            make_example(model, dataset[index])
            for index in islice(evenly_spaced(len(dataset), 3), 3)
        ]
        meta = dataset.metainfo
        figure = comparison_figure(examples, meta['classes'], meta['palette'])
        save_figure(figure, args.reconstructions, dpi=100)


if __name__ == '__main__':
    sys.exit(main())
