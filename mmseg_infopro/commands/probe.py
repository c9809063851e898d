"""Show what each unit of a trained network still knows of the labels and of the image."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from rich.console import Console

from ..config.build import build_model, is_local
from ..config.check_config import check_loaders
from ..config.localize import localize
from ..config.pretrained import without_pretrained
from ..config.read import read_config
from ..config.resolve import resolve
from ..datasets import check_data, check_first_samples, check_labels
from ..files.outputs import check_distinct, check_output
from ..files.whole import write_whole
from ..hooks.pictures import comparison_figure, make_example
from ..hooks.pictures_hook import evenly_spaced
from ..report.figures import save_figure
from ..run.checkpoints import check_checkpoint
from ..run.weights import check_context, check_weights_fit, checkpoint_weights
from ..study.probe import Knowledge, Probes, train_probes
from ..study.probe_report import (
    ProbedCheckpoint,
    probe_figure,
    probe_sentence,
    probe_table,
)
from ..study.probe_scores import evaluate_probes
from .ending import command
from .outputs import PICTURES, check_outputs
from .progress import progress_bar


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
def main(args: Namespace) -> None:
    console = Console()
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
