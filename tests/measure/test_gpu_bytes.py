"""What a forward pass saves by the rules of a GPU, against torch's own fake CUDA tensors."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks

from mmseg_infopro.config.build import build_end_to_end
from mmseg_infopro.config.read import read_config
from mmseg_infopro.config.step import step_shape
from mmseg_infopro.measure.fake import UpperBounds, fake_copy
from mmseg_infopro.measure.gpu_rules import gpu_rules
from mmseg_infopro.planning.batch import training_batch

CONFIGS = [
    'deeplabv3/deeplabv3_r18-d8_4xb2-80k_cityscapes-512x1024.py',
    'erfnet/erfnet_fcn_4xb4-160k_cityscapes-512x1024.py',
    'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py',
    'vit/vit_deit-s16_upernet_8xb2-160k_ade20k-512x512.py',
]


def fake_cuda_works() -> bool:
    """Older versions of torch ask for a driver even for fake tensors."""
    try:
        with FakeTensorMode():
            return torch.backends.cuda.is_built() and torch.zeros(1).to('cuda').is_cuda
    except RuntimeError:
        return False


pytestmark = pytest.mark.skipif(
    not fake_cuda_works(), reason='needs a torch built for CUDA, newer ones without a GPU'
)


def move(model: nn.Module, device: str) -> None:
    """Move fake parameters and buffers, which ``nn.Module.to`` cannot do."""
    for layer in model.modules():
        for name, parameter in layer.named_parameters(recurse=False):
            moved = nn.Parameter(parameter.detach().to(device), parameter.requires_grad)
            layer.register_parameter(name, moved)
        for name, buffer in layer.named_buffers(recurse=False):
            setattr(layer, name, buffer.to(device))


def saved_bytes(model: nn.Module, batch: dict, device: str, autocast: torch.dtype | None) -> int:
    """Return the bytes of all that the forward pass saves, but the parameters."""
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.device.type == device:
            saved[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    move(model, device)
    images = torch.stack(batch['inputs']).float().to(device)
    samples = [sample.to(device) for sample in batch['data_samples']]
    with (
        UpperBounds(),
        saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast(device, autocast, enabled=autocast is not None),
    ):
        losses = model.loss(images, samples)
    for parameter in model.parameters():
        saved.pop(parameter.untyped_storage()._cdata, None)
    del losses
    return sum(storage.nbytes() for storage in saved.values())


@pytest.mark.parametrize('autocast', [None, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('name', CONFIGS)
def test_it_saves_the_bytes_of_a_gpu(
    name: str, autocast: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a GPU autocast would be off; fake tensors need none.
    monkeypatch.setattr('torch.cuda.amp.common.amp_definitely_not_available', lambda: False)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda: True)
    cfg = read_config(f'mmseg::{name}', None)
    model, shape = revert_sync_batchnorm(build_end_to_end(cfg)), step_shape(cfg)
    with DefaultScope.overwrite_default_scope('mmseg'):
        mode = FakeTensorMode()
        ours = fake_copy(model, mode).train()
        with mode, gpu_rules():
            predicted = saved_bytes(ours, training_batch(shape), 'cpu', autocast)
        mode = FakeTensorMode()
        theirs = fake_copy(model, mode).train()
        with mode:
            expected = saved_bytes(theirs, training_batch(shape), 'cuda', autocast)
    assert predicted == pytest.approx(expected, rel=1e-3)
