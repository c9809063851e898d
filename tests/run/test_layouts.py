"""Weights are found wherever publishers put them, if nothing but tensors lies there."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.runner import CheckpointLoader

from mmseg_infopro.run.checkpoints import SCHEME, check_checkpoint, loadable
from mmseg_infopro.run.layouts import with_state_dict

A, B = dict(a=torch.ones(2)), dict(b=torch.zeros(3))


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        (dict(state_dict=A, model=B), A),
        (A, None),
        (dict(model=A, epoch=3), A),
        (dict(teacher=A, student=B), A),
        (dict(state_dict_ema=A, args=Namespace(lr=1)), A),
        (dict(weights=A, optimizer=dict(state={})), A),
        (dict(module=dict(model=A)), A),
    ],
)
@pytest.mark.parametrize('zipped', [True, False])
def test_weights_are_found(tmp_path: Path, content: Any, expected: Any, zipped: bool) -> None:
    path = tmp_path / 'a.pth'
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    opened = check_checkpoint(path)
    found = opened if expected is None else opened['state_dict']
    assert found.keys() == A.keys()
    name = loadable(str(path))
    assert name == (str(path) if expected is None or 'state_dict' in content else f'{SCHEME}{path}')
    loaded = CheckpointLoader.load_checkpoint(name, map_location='cpu')
    assert torch.equal(loaded.get('state_dict', loaded)['a'], A['a'])


@pytest.mark.parametrize('content', [dict(x=A, y=B), dict(a=1), [], None, dict(model={})])
def test_what_is_not_clear_is_refused(content: Any) -> None:
    assert with_state_dict(content) is None


def test_the_error_names_what_is_there(tmp_path: Path) -> None:
    torch.save(dict(x=A, y=B), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r'it holds no state_dict, but x, y'):
        check_checkpoint(tmp_path / 'a.pth')


def safetensors(folder: Path, header: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(header).encode()
    path = folder / 'a.safetensors'
    path.write_bytes(len(text).to_bytes(8, 'little') + text + data)
    return path


def test_safetensors_are_read(tmp_path: Path) -> None:
    weights = dict(a=torch.rand(2, 3), b=torch.arange(4), c=torch.tensor(1.5), d=torch.ones(0))
    header, data = {'__metadata__': {'format': 'pt'}}, b''
    for (name, weight), dtype in zip(weights.items(), ('F32', 'I64', 'F32', 'F32'), strict=True):
        content = weight.numpy().tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = dict(dtype=dtype, shape=list(weight.shape), data_offsets=offsets)
        data += content
    path = safetensors(tmp_path, header, data)
    loaded = CheckpointLoader.load_checkpoint(loadable(str(path)))
    for name, weight in weights.items():
        assert torch.equal(loaded[name], weight)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        (dict(dtype='F32', shape=[2], data_offsets=[0, 4]), 'does not lie where'),
        (dict(dtype='F32', shape=[1], data_offsets=[4, 8]), 'does not lie where'),
        (dict(dtype='X9', shape=[1], data_offsets=[0, 4]), 'is of the type X9'),
    ],
)
def test_damaged_safetensors(tmp_path: Path, entry: dict[str, Any], message: str) -> None:
    path = safetensors(tmp_path, dict(a=entry), b'1234')
    with pytest.raises(ValueError, match=rf'a\.safetensors is damaged .*{message}'):
        check_checkpoint(path)
