"""Losses of DDRNet's and PIDNet's heads in chunks against mmseg's own."""

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_infopro.local_heads.chunking import chunked
from mmseg_infopro.measure.dry_step import peak_beyond
from mmseg_infopro.measure.fake import UpperBounds

NUM_CLASSES = 5
OHEM = dict(type='OhemCrossEntropy')
WEIGHTS = [0.5, 2.0, 1.0, 3.0, 1.0]
MINED = {
    'the threshold decides': dict(OHEM, thres=0.3, min_kept=2),
    'the number decides': dict(OHEM, thres=0.01, min_kept=99),
    'all are kept': dict(OHEM, thres=0.9, min_kept=100_000),
    'weights': dict(OHEM, thres=0.3, min_kept=99, class_weight=WEIGHTS, loss_weight=0.4),
}


def samples(batch_size=3, size=(17, 30), all_ignored=False):
    generator = torch.Generator().manual_seed(1)
    found = []
    for _ in range(batch_size):
        label = torch.randint(0, NUM_CLASSES, (1, *size), generator=generator)
        label[:, :4] = 255
        if all_ignored:
            label[:] = 255
        edges = torch.randint(0, 2, (1, *size), generator=generator)
        found.append(
            SegDataSample(gt_sem_seg=PixelData(data=label), gt_edge_map=PixelData(data=edges))
        )
    return found


def head_of(kind, ohem):
    losses = [ohem, dict(ohem, loss_weight=0.5)]
    if kind == 'PIDHead':
        cross_entropy = dict(type='CrossEntropyLoss', class_weight=WEIGHTS, loss_weight=0.4)
        losses = [cross_entropy, ohem, dict(type='BoundaryLoss', loss_weight=20.0), ohem]
    return dict(
        type=kind, in_channels=16, channels=8, num_classes=NUM_CLASSES, loss_decode=losses,
        norm_cfg=dict(type='BN'), align_corners=True,
    )  # fmt: skip


def outputs(kind, dtype=torch.double, batch_size=3, size=(5, 7)):
    torch.manual_seed(0)
    shapes = [NUM_CLASSES, NUM_CLASSES, 1] if kind == 'PIDHead' else [NUM_CLASSES, NUM_CLASSES]
    return [
        (3 * torch.randn(batch_size, channels, *size, dtype=dtype)).requires_grad_()
        for channels in shapes
    ]


def losses_and_gradients(cfg, data_samples):
    kind = cfg['type'] if isinstance(cfg['type'], str) else cfg['type'].__name__
    logits = outputs(kind.removeprefix('Chunked'))
    losses = MODELS.build(cfg).loss_by_feat(logits, data_samples)
    total = sum(value for name, value in losses.items() if 'loss' in name)
    return losses, torch.autograd.grad(total, logits)


@pytest.mark.parametrize('kind', ['DDRHead', 'PIDHead'])
@pytest.mark.parametrize('name', MINED)
def test_a_chunked_head_trains_as_its_parent(kind, name):
    cfg = head_of(kind, MINED[name])
    assert chunked(cfg)['type'].__name__ == f'Chunked{kind}'
    expected = losses_and_gradients(cfg, samples())
    actual = losses_and_gradients(chunked(cfg), samples())
    assert list(actual[0]) == list(expected[0])
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-10)


def test_a_batch_of_ignored_pixels_only_has_no_loss():
    cfg = head_of('DDRHead', OHEM)
    losses, gradients = losses_and_gradients(chunked(cfg), samples(all_ignored=True))
    expected = MODELS.build(cfg).loss_by_feat(outputs('DDRHead'), samples(all_ignored=True))
    torch.testing.assert_close(losses, expected)
    assert losses['loss_context'] == losses['loss_spatial'] == 0
    assert not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize('kind', ['DDRHead', 'PIDHead'])
def test_other_losses_stay(kind):
    cfg = head_of(kind, dict(type='LovaszLoss', reduction='none'))
    assert chunked(cfg) == cfg


@pytest.mark.parametrize('kind', ['DDRHead', 'PIDHead'])
def test_chunks_need_a_fraction_of_the_memory(kind):
    def peak(cfg):
        with FakeTensorMode(), UpperBounds():
            head, logits = MODELS.build(cfg), outputs(kind, torch.float32, 8, (32, 32))
            data_samples = samples(8, (256, 256))

            def run():
                losses = head.loss_by_feat(logits, data_samples)
                sum(value for name, value in losses.items() if 'loss' in name).backward()

            return peak_beyond(run)

    cfg = head_of(kind, OHEM)
    assert peak(chunked(cfg)) < 0.4 * peak(cfg)
