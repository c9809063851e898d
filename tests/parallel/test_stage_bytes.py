"""Bytes that are planned for a process of a pipeline, against those of its real step."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper

from mmseg_infopro.config.stage_steps import dry_stage_steps
from mmseg_infopro.local.local_losses import reads_image
from mmseg_infopro.local.processes import Alone
from mmseg_infopro.local.step import local_train_step
from mmseg_infopro.measure.tracker import MemoryTracker
from mmseg_infopro.parallel.placing import keep_modules, keep_state
from mmseg_infopro.planning.borders import Borders
from tests.models import batch, build, model_config

SGD = ConfigDict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9, foreach=True)
)
BOUNDARIES = ['layer1.1', 'layer3.0']


class Process(Alone):
    """A process that receives random numbers, and forgets what it sends."""

    def __init__(self, model, index, shape):
        self.stages = range(index, index + 1)
        self.model, self.index, self.shape, self.sent = model, index, shape, None

    def receive(self, carried):
        if self.index == 0:
            return carried
        image = carried.image
        if not reads_image(self.model, self.index):
            image = image.new_zeros(()).expand(image.shape)
        return replace(carried, state=torch.rand(self.shape), image=image)

    def send(self, carried):
        self.sent = carried.state.shape


def held(model, wrapper):
    """Return what a process holds between two steps."""
    kept = [v for values in wrapper.optimizer.state.values() for v in values.values()]
    tensors = [*model.buffers(), *model.parameters(), *filter(torch.is_tensor, kept)]
    return [tensor for tensor in tensors if tensor.device.type == 'cpu']


def test_a_process_needs_what_was_planned():
    model = build(model_config(local=dict(boundaries=BOUNDARIES)))
    planned = dry_stage_steps(model, SGD, lambda: batch(128), Borders(in_flight=1))
    shape = None
    for index, step in enumerate(planned):
        own = deepcopy(model)
        wrapper = build_optim_wrapper(own, deepcopy(SGD))
        keep_state(wrapper.optimizer, keep_modules(own, range(index, index + 1)))
        process, tracker = Process(own, index, shape), MemoryTracker()
        local_train_step(own, batch(128), wrapper, process)  # makes the optimizer's state
        tracker.track(held(own, wrapper), 'held')
        with tracker:
            samples = batch(128)
            local_train_step(own, samples, wrapper, process)
        shape = process.sent
        on_its_way = 0 if shape is None else 4 * shape.numel()
        real = tracker.peak_bytes.total() + on_its_way
        assert step.peak.total == pytest.approx(real, rel=0.01)
