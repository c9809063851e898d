"""Files and folders that a command line may name, by their names."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from mmseg_infopro.files.lock import NAME
from mmseg_infopro.files.owner import _start_of, this_process
from tests.tools.conftest import CreatesFile, Trained

Maker = Callable[[Path, Trained], Any]


def checkpoint(change: Callable[[dict[str, Any]], Any]) -> Maker:
    """Return what writes the trained checkpoint with changes."""

    def make(path: Path, trained: Trained) -> None:
        content = torch.load(trained.checkpoint, weights_only=False)
        torch.save(change(content), path)

    return make


def of_bytes(change: Callable[[bytes], bytes]) -> Maker:
    """Return what writes the trained checkpoint's bytes with changes."""
    return lambda path, trained: path.write_bytes(change(trained.checkpoint.read_bytes()))


def text(content: str) -> Maker:
    """Return what writes a text."""
    return lambda path, trained: path.write_text(content)


def flipped(content: bytes) -> bytes:
    """Return bytes of which one bit in the middle is another."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def hostile(path: Path, trained: Trained) -> None:
    content = torch.load(trained.checkpoint, weights_only=False)
    torch.save({**content, 'more': CreatesFile(path.with_name('trace'))}, path)


def hostile_pickle(path: Path, trained: Trained) -> None:
    path.write_bytes(pickle.dumps(CreatesFile(path.with_name('trace'))))


def full_folder(path: Path, trained: Trained) -> None:
    path.mkdir()
    (path / 'mine.txt').write_text('mine')


def wider(content: dict[str, Any]) -> dict[str, Any]:
    weights = content['state_dict']
    name = next(name for name in weights if name.startswith('backbone') and weights[name].dim() > 3)
    weights[name] = torch.cat([weights[name], weights[name]])
    return content


def without(part: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what takes the weights of a part away."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        names = [name for name in content['state_dict'] if name.startswith(part)]
        for name in names:
            del content['state_dict'][name]
        return content

    return change


def renamed(old: str, new: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what gives weights other names."""

    def change(content: dict[str, Any]) -> dict[str, Any]:
        weights = content['state_dict']
        content['state_dict'] = {name.replace(old, new): item for name, item in weights.items()}
        return content

    return change


MADE: dict[str, Maker] = {
    'good.pth': of_bytes(lambda content: content),
    'half.pth': of_bytes(lambda content: content[: len(content) // 2]),
    'cut_by_one.pth': of_bytes(lambda content: content[:-1]),
    'flipped.pth': of_bytes(flipped),
    'empty.pth': of_bytes(lambda content: b''),
    'zeros.pth': of_bytes(lambda content: bytes(len(content))),
    'text.pth': text('these are no weights\n'),
    'half.safetensors': text('\x10'),
    'hostile.pth': hostile,
    'hostile_pickle.pth': hostile_pickle,
    'list.pth': checkpoint(lambda content: list(content['state_dict'].values())[:2]),
    'number.pth': checkpoint(lambda content: 3),
    'no_weights.pth': checkpoint(lambda content: dict(meta=content['meta'])),
    'odd_weights.pth': checkpoint(lambda content: dict(state_dict=dict(a='text'))),
    'wider.pth': checkpoint(wider),
    'headless.pth': checkpoint(without('decode_head')),
    'foreign.pth': checkpoint(renamed('backbone', 'encoder.model')),
    'other_cut.pth': checkpoint(renamed('local_heads.layer2-0', 'local_heads.layer1-1')),
    'best.pth': checkpoint(lambda content: dict(state_dict=content['state_dict'])),
    'folder.pth': full_folder,
    'folder': lambda path, trained: path.mkdir(),
    'full': full_folder,
    'file': text('mine\n'),
    'dead': lambda path, trained: path.symlink_to('nowhere'),
    'there.py': text('mine = 1\n'),
    'there.json': text('{"mine": 1}\n'),
    'there.png': text('mine\n'),
    'folder.py': full_folder,
    'folder.json': full_folder,
    'folder.png': full_folder,
    'folder.html': full_folder,
    'empty.py': text(''),
    'raises.py': text('x = 1 / 0\n'),
    'exits.py': text('import sys\nsys.exit(0)\n'),
    'syntax.py': text('model = dict(\n'),
    'lacks.py': text('import no_such_module\nmodel = dict()\n'),
    'baseless.py': text("_base_ = 'nowhere.py'\n"),
    'itself.py': text("_base_ = 'itself.py'\n"),
    'no_model.py': text('lr = 1\n'),
    'list_model.py': text('model = [1, 2]\n'),
    'empty_model.py': text('model = dict()\n'),
    'binary.py': lambda path, trained: path.write_bytes(b'\xff\xfe\x00\x01'),
    'config.txt': text('model = dict()\n'),
    'broken.json': text('{"model": '),
}


def folder_with(**files: str) -> Maker:
    """Return what makes a folder of texts; ``__`` in a name stands for a point, ``_of_`` for /."""

    def make(path: Path, trained: Trained) -> None:
        for name, content in files.items():
            file = path / name.replace('_of_', '/').replace('__', '.')
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    return make


def plain_config(path: Path, trained: Trained) -> None:
    text = path.with_name('config.py').read_text()
    text = text.replace('InfoProEncoderDecoder', 'EncoderDecoder').replace('InfoProRes', 'Res')
    begin, rest = text.split('    local=dict(', 1)
    path.write_text(begin + ')' + rest.split('\n)\n', 1)[1].join(['\n', '']))


RECORD = dict(
    bed='bed',
    way='e2e',
    seed=0,
    code='abc',
    config='c',
    options=[],
    validations=[],
    counts={},
    predicted_peak=1,
    flops=1,
)
BED = json.dumps(dict(config='../config.py', partitions={'2': ['layer2.0']}))
LOG = '20260101_000000_of_vis_data_of_scalars__json'


def record(**changes: Any) -> str:
    return json.dumps({**RECORD, **changes})


def run_folder(path: Path, trained: Trained, log: str, config: str | None = None) -> None:
    """Make a work dir with a log of this content."""
    (path / '20260101_000000/vis_data').mkdir(parents=True)
    (path / '20260101_000000/vis_data/scalars.json').write_text(log)
    (path / 'tiny.py').write_text(
        config if config is not None else (trained.work_dir / 'tiny.py').read_text()
    )


def runs(log: str, config: str | None = None) -> Maker:
    return lambda path, trained: run_folder(path, trained, log, config)


MADE |= {
    'plain.py': plain_config,
    'bed': folder_with(bed__json=BED),
    'broken_bed': folder_with(bed__json='{"config": '),
    'list_bed': folder_with(bed__json='[1]'),
    'odd_bed': folder_with(bed__json='{"config": 3, "partitions": [], "more": 1}'),
    'text_bed': folder_with(bed__json='{"config": "../config.py", "partitions": "2"}'),
    'lost_bed': folder_with(bed__json='{"config": "../nowhere.py", "partitions": {}}'),
    'mixed_bed': folder_with(bed__json=BED, a__json=record(), b__json=record(code='xyz', seed=1)),
    'broken_record': folder_with(bed__json=BED, **{'e2e-s0__json': '{"way": '}),
    'list_record': folder_with(bed__json=BED, a__json='[1, 2]'),
    'short_record': folder_with(bed__json=BED, a__json='{"way": "e2e"}'),
    'odd_record': folder_with(bed__json=BED, a__json=record(seed='x', validations=3)),
    'no_reference': folder_with(bed__json=BED, a__json=record(way='dgl:2')),
    'other_options': folder_with(bed__json=BED, **{'e2e-s0__json': record(options=['a=1'])}),
    'broken_plan': folder_with(bed__json=BED, caps_of_plan__json='{"steps": '),
    'half_run': runs('{"loss": 1.0, "time": 0.1, "step": 1}\n{"loss": 0.9, "ti'),
    'empty_log': runs(''),
    'broken_log': runs('[1, 2]\nnonsense\n{"step": "x", "loss": 1}\n'),
    'run_of_tests': runs('{"loss": 1.0, "time": 0.1, "step": 1}\n', 'x = 1\n'),
    'broken_config': runs('{"loss": 1.0, "time": 0.1, "step": 1}\n', 'model = dict(\n'),
    'broken_card': folder_with(report__json='{"machine": '),
    'other_card': folder_with(
        report__json='{"machine": {"name": "H1", "torch": "1", "small": true}, "rows": []}'
    ),
    'broken_demo': folder_with(**{'e2e-s0__json': '{"way": '}),
}


def locked(path: Path, trained: Trained) -> None:
    """Make a work dir that a process which runs, this one's parent, holds."""
    path.mkdir()
    parent = os.getppid()
    owner = replace(this_process(), pid=parent, started=_start_of(parent) or '')
    (path / NAME).write_text(json.dumps(asdict(owner)))


def resumed(name: str, maker: str) -> Maker:
    """Return what makes a work dir with such a checkpoint."""

    def make(path: Path, trained: Trained) -> None:
        path.mkdir()
        MADE[maker](path / name, trained)

    return make


MADE |= {
    'in_context.pth': checkpoint(renamed('auxiliary_head.convs', 'context.layer2_0')),
    'resumed_other_cut': resumed('iter_2.pth', 'other_cut.pth'),
    'resumed_half': resumed('iter_2.pth', 'half.pth'),
    'resumed_hostile': resumed('iter_2.pth', 'hostile.pth'),
    'resumed_best': resumed('best_mIoU_iter_2.pth', 'best.pth'),
    'resumed_text': resumed('iter_2.pth', 'text.pth'),
    'resumed_wider': resumed('iter_2.pth', 'wider.pth'),
    'full_of_mine': resumed('mine.pth', 'text.pth'),
    'locked': locked,
}
