"""The example of a method in one file: when it runs, where, and that its loss is the formula."""

from pathlib import Path

import pytest
import torch

from docs.examples import edge_method
from mmseg_infopro.local.clock import at_iteration
from tests.models import KeepGradients, batch, build, gradients, model_config

TASK = dict(type='FCNHead', channels=8, num_convs=1, concat_input=False, dropout_ratio=0)
LOCAL = dict(
    boundaries=['layer1.1', 'layer3.0'],
    heads=[TASK, dict(type='EdgeHead', name='edge', at=[0], loss_weight=0.5)],
    schedule=dict(type='EverySecond'),
)


def edge_heads(model):
    named = model.named_modules()
    return {name: part for name, part in named if isinstance(part, edge_method.EdgeHead)}


def test_module_0_alone_has_the_head():
    (name,) = edge_heads(build(model_config(local=LOCAL)))
    assert name.startswith('local_heads.layer1-1.')


@pytest.mark.parametrize(('iteration', 'runs'), [(0, False), (1, True), (2, False), (3, True)])
def test_the_head_learns_on_odd_iterations_only(iteration, runs):
    model = build(model_config(local=LOCAL))
    with at_iteration(iteration):
        log = model.train_step(batch(), KeepGradients.wrap(model))
    (name,) = edge_heads(model)
    edge = {f'{name}.conv.weight', f'{name}.conv.bias'}
    others = {n for n, p in model.named_parameters() if p.requires_grad} - edge
    assert gradients(model).keys() == others | (edge if runs else set())
    assert ('local_0.edge.loss_edge' in log) == runs


def test_the_loss_is_the_formula():
    features = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    head, samples = edge_method.EdgeHead(3, 0, 255, loss_weight=0.5), batch(8)['data_samples']
    kernel, bias = head.conv.weight[0, :, 0, 0], head.conv.bias
    logits = torch.einsum('bchw,c->bhw', features, kernel) + bias
    logits = torch.nn.functional.interpolate(logits[:, None], (8, 8), mode='bilinear')[:, 0]
    terms = []
    for sample, logit in zip(samples, logits, strict=True):
        label = sample.gt_sem_seg.data[0]
        label[6, 1:4] = 255  # ignored neighbours on all four sides
        for y, x in (label != 255).nonzero().tolist():
            near = [label[j, i] for j, i in ((y, x + 1), (y + 1, x)) if j < 8 and i < 8]
            p = torch.sigmoid(logit[y, x])
            is_edge = any(n not in (255, label[y, x]) for n in near)
            terms.append(-torch.log(p if is_edge else 1 - p))
    (loss,) = head.loss([features], samples, {}).values()
    torch.testing.assert_close(loss, 0.5 * torch.stack(terms).mean())


def test_a_method_takes_less_than_60_lines():
    assert len(Path(edge_method.__file__).read_text().splitlines()) < 60
