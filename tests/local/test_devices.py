"""Whatever a step makes is made on the model's device: found on fake CUDA tensors, without a GPU.

Operations on fake tensors refuse tensors of two devices, as kernels do.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.config.build import build_model
from mmseg_infopro.config.step import step_shape
from mmseg_infopro.local.clock import at_iteration
from mmseg_infopro.measure.fake import UpperBounds, fake_copy
from mmseg_infopro.planning.batch import training_batch
from mmseg_infopro.report.tiny import tiny_configs
from mmseg_infopro.upstream import tree_leaves, tree_map_only
from tests.measure.test_gpu_bytes import fake_cuda_works

pytestmark = pytest.mark.skipif(
    not fake_cuda_works(), reason='needs a torch built for CUDA, newer ones without a GPU'
)

DEVICE = torch.device('cuda:0')  # by number: no driver is asked for the current one
METHODS = ('infopro_contrast', 'predsim', 'dgl', 'contsup_r1e', 'manpp', 'trgl', 'auglocal')


def move(model: nn.Module) -> None:
    """Move fake parameters and buffers, which ``nn.Module.to`` cannot do."""
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            layer.register_parameter(name, nn.Parameter(parameter.detach().to(DEVICE), False))
        for name, buffer in layer.named_buffers(recurse=False):
            setattr(layer, name, buffer.to(DEVICE))


@pytest.mark.parametrize('method', METHODS)
def test_a_step_of_every_kind_of_head_makes_nothing_elsewhere(method: str) -> None:
    (cfg,) = tiny_configs([method]).values()
    model: Any = fake_copy(build_model(cfg.model), mode := FakeTensorMode()).train()
    to_cuda = partial(tree_map_only, Tensor, lambda tensor: tensor.to(DEVICE))
    # Without a graph, whose backward pass would ask for a driver.
    with mode, UpperBounds(), torch.no_grad(), at_iteration(0):
        move(model)
        batch = training_batch(step_shape(cfg))
        image = to_cuda(torch.stack(batch['inputs']).float())
        samples = [sample.to(DEVICE) for sample in batch['data_samples']]
        losses = list(model.pass_losses(image, samples))
    values = [leaf for leaf in tree_leaves(losses) if isinstance(leaf, Tensor)]
    assert len(losses) == 3
    assert values
    assert all(value.is_cuda for value in values)
