"""Throw-away copies on fake tensors."""

import pytest
import torch
from torch import nn

from mmseg_infopro.measure.fake import UpperBounds, as_fake, fake_copy
from mmseg_infopro.upstream import FakeTensor, FakeTensorMode


def shared_layers():
    layers = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(3, 4, 3))
    layers[2].weight = layers[0].weight
    layers[1].weight.requires_grad_(False)
    layers.plain = torch.ones(2, dtype=torch.float16)
    return layers


def tensors(module):
    return [*module.parameters(), *module.buffers()]


def test_a_copy_has_all_but_the_values():
    layers = shared_layers()
    layers[2].bias.grad = torch.ones(4)
    copy = fake_copy(layers, FakeTensorMode())
    assert copy[2].weight is copy[0].weight
    assert isinstance(copy.plain, FakeTensor)
    for real, fake in zip(tensors(layers), tensors(copy), strict=True):
        assert isinstance(fake, FakeTensor)
        assert isinstance(fake, nn.Parameter) == isinstance(real, nn.Parameter)
        assert (fake.shape, fake.dtype) == (real.shape, real.dtype)
        assert (fake.requires_grad, fake.device) == (real.requires_grad, real.device)
        assert fake.grad is None


def test_a_fake_copy_is_not_copied_again():
    mode = FakeTensorMode()
    copy = fake_copy(shared_layers(), mode)
    assert as_fake(copy) == (copy, mode)
    assert as_fake(copy[1])[1] is mode
    layers = shared_layers()
    assert as_fake(layers)[0] is not layers


def test_synchronized_norms_take_one_value_of_a_batch_on_many_processes():
    mode = FakeTensorMode()
    copy = fake_copy(nn.Sequential(nn.SyncBatchNorm(4)).train(), mode)
    with mode:
        for size in (1, 3):
            x = torch.empty(1, 4, size, size, requires_grad=True)
            y = copy(x)
            y.sum().backward()
            assert y.shape == x.grad.shape == x.shape


def test_a_fused_update_runs_no_real_kernel():
    def update():
        weight = nn.Parameter(torch.zeros(4, 2))
        weight.grad = torch.zeros_like(weight)
        torch.optim.SGD([weight], lr=0.1, momentum=0.9, fused=True).step()

    with FakeTensorMode(allow_fallback_kernels=False):
        with pytest.raises(RuntimeError, match='_fused_sgd_'):
            update()
        with UpperBounds():
            update()
