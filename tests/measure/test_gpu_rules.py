"""Mixed precision and masks of dry steps are those of a GPU."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.gpu_rules import IN_FP32, TO_FP32, gpu_rules

HEADER = Path(torch.__file__).parent / 'include/ATen/autocast_mode.h'
OPERATIONS = {
    'layer_norm': lambda x: F.layer_norm(x, (8,)),
    'group_norm': lambda x: F.group_norm(x, 2),
    'softmax': lambda x: x.softmax(1),
    'log_softmax': lambda x: F.log_softmax(x, 1),
    'bilinear': lambda x: F.interpolate(x, scale_factor=2, mode='bilinear'),
    'nearest': lambda x: F.interpolate(x, scale_factor=2),
    'sum': lambda x: x.sum(1),
    'power': lambda x: x**2,
    'normalize': F.normalize,
}


def reduced() -> Tensor:
    """A convolution's output under autocast."""
    return F.conv2d(torch.rand(2, 4, 8, 8), torch.rand(4, 4, 1, 1, requires_grad=True))


@pytest.mark.parametrize('name', OPERATIONS)
@pytest.mark.parametrize('fake', [False, True])
def test_it_keeps_float32_where_a_gpu_does(name: str, fake: bool) -> None:
    def result() -> torch.dtype:
        with torch.autocast('cpu', torch.bfloat16):
            features = reduced()
            assert features.dtype == F.relu(features).dtype == torch.bfloat16
            output = OPERATIONS[name](features)
        output.sum().backward()
        return output.dtype

    if fake:
        with FakeTensorMode(), gpu_rules():
            assert result() == torch.float32
    else:
        assert result() == torch.bfloat16
        with gpu_rules():
            assert result() == torch.float32
        assert result() == torch.bfloat16


def test_nothing_changes_without_autocast() -> None:
    half = torch.rand(2, 4, 8, 8).bfloat16()
    with gpu_rules():
        assert all(run(half).dtype == torch.bfloat16 for run in OPERATIONS.values())


@pytest.mark.skipif(not HEADER.is_file(), reason='this torch comes without its headers')
@pytest.mark.parametrize(
    ('names', 'macro'), [(IN_FP32, 'AT_FORALL_FP32'), (TO_FP32, 'AT_FORALL_FP32_SET_OPT_DTYPE')]
)
def test_the_operations_are_those_of_torch(names: tuple[str, ...], macro: str) -> None:
    text = re.search(rf'#define {macro}\(_\)(.*?)\n\n', HEADER.read_text(), re.DOTALL)
    assert text is not None
    listed = [entry.replace(', ', '.') for entry in re.findall(r'_\(([\w, ]+)\)', text[1])]
    unlisted = set(names) - set(listed)
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key
    assert not any(has_kernel(f'aten::{name}', 'AutocastCUDA') for name in unlisted)
    assert unlisted <= {'rms_norm'}  # which older versions leave alone


@pytest.mark.parametrize(('p', 'inplace'), [(0.3, False), (0.3, True), (1.0, False), (0.0, False)])
def test_dropout_saves_the_mask_of_a_gpu(p: float, inplace: bool) -> None:
    features, saved = torch.rand(2, 8, requires_grad=True) * 1, list[torch.dtype]()

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.dtype)
        return tensor

    with gpu_rules(), saved_tensors_hooks(pack, lambda tensor: tensor):
        output = F.dropout(features, p, inplace=inplace)
    assert output.shape == (2, 8)
    # PyTorch has no fused kernel for dropout in place.
    assert saved == ([torch.float32 if inplace else torch.bool] if p else [])


def test_the_bytes_of_a_norm_are_those_of_a_gpu() -> None:
    size = 2 * 4 * 8 * 8

    def step() -> None:
        with torch.autocast('cpu', torch.bfloat16):
            features = reduced()
            peaks.append(peak_beyond(lambda: kept.append(F.layer_norm(features, (8,)))))

    peaks: list[int] = []
    kept: list[Tensor] = []
    with FakeTensorMode(), gpu_rules():
        step()
    statistics = 2 * 2 * 4 * 8 * 4
    assert peaks == [2 * 4 * size + statistics]  # the input in float32, which it saves, and its own
