"""Segmentors whose backbone trains in gradient-isolated local modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmseg.models.segmentors import CascadeEncoderDecoder, DepthEstimator, EncoderDecoder
from mmseg.registry import MODELS
from mmseg.utils import OptSampleList, SampleList, add_prefix
from torch import Tensor, nn

from ..backbones import Feature, State, numbered_emits, trace_backbone
from ..backbones.supported import check_backbone, image_channels
from ..local.feature_flow import auxiliary_heads, neck_and_heads
from ..local.module import LocalModule, cut_model, module_parameters
from ..local.names import drop_other_heads, heads_key
from ..local.settings import LocalSettings, read_local_settings
from ..local.step import local_train_step
from ..local.units import Retained, compile_units, detached, run_units
from ..local.update import unshared_parameters
from ..local_heads import build_local_heads, head_losses, loss_weights
from ..planning.choosing import choose_boundaries
from ..recompute.layers import recomputing
from .chunked_argmax import chunks_argmax, predict_in_chunks

SHARED = ('num_classes', 'out_channels', 'threshold', 'ignore_index', 'align_corners', 'norm_cfg')
"""Attributes of the decode head that local heads take over."""


@MODELS.register_module()
class InfoProEncoderDecoder(EncoderDecoder):
    """:class:`EncoderDecoder` trained by local losses, after https://arxiv.org/abs/2101.10832.

    Args:
        args: As for :class:`EncoderDecoder`.
        local: How to cut and what trains the modules, see
            :class:`mmseg_infopro.local.settings.LocalSettings`.
        kwargs: As for :class:`EncoderDecoder`; the backbone must be an unrolled one.

    Raises:
        TypeError: The backbone cannot be cut, or a value in ``local`` is of the wrong type.
        ValueError: ``local`` does not fit the model.
    """

    keeps_history = False
    """Whether :meth:`enter` gets the earlier modules' inputs; they cost memory."""

    running_module: int | None = None
    """The local module whose forward or backward pass runs, for checks; None before the first."""

    def __init__(self, *args: Any, local: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chunks_argmax(self)  # raises if the setting cannot be met
        settings = read_local_settings(local)
        check_backbone(self.backbone, settings.recompute)
        self.boundaries = choose_boundaries(self, settings, self.head_defaults())
        self.warm_start = settings.warm_start
        self.update_per_module = settings.update_per_module
        self.recomputes = settings.recompute != 'none'
        self.run_units: Callable[..., Any] = run_units
        if settings.compile is not None and self.boundaries:
            self.run_units = compile_units(len(self.boundaries) + 1, settings.compile)
        self.local_heads = nn.ModuleDict()
        self.local_modules: tuple[LocalModule, ...] = ()
        if self.boundaries or settings.recompute != 'none':
            self._build_local_heads(settings)
        if settings.channels_last:
            self.to(memory_format=torch.channels_last)

    def head_defaults(self) -> dict[str, Any]:
        """Return what a local head may take over from the model."""
        decode_head = self.decode_head
        if isinstance(decode_head, nn.ModuleList):
            decode_head = decode_head[-1]
        preprocessor = self.data_preprocessor
        in_channels = image_channels(self.backbone)
        normalizes = getattr(preprocessor, '_enable_normalize', False)
        return dict(
            **{name: getattr(decode_head, name) for name in SHARED if hasattr(decode_head, name)},
            image_mean=preprocessor.mean.flatten().tolist() if normalizes else [0.0] * in_channels,
            image_std=preprocessor.std.flatten().tolist() if normalizes else [1.0] * in_channels,
        )

    def _build_local_heads(self, settings: LocalSettings) -> None:
        defaults = self.head_defaults()
        trace = trace_backbone(self.backbone, in_channels=len(defaults['image_mean']))
        self.local_modules = cut_model(self, self.boundaries, trace, settings.recompute)
        for index, boundary in enumerate(self.boundaries):
            if self.local_modules[index].frozen:
                continue
            position = index / max(1, len(self.boundaries) - 1)
            border = trace.borders[boundary]
            heads = build_local_heads(settings.heads, border, defaults, boundary, position)
            self.local_heads[heads_key(boundary)] = heads

    def train_step(self, data: dict[str, Any], optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Train on one batch, module by module; K=1 without recompute is the parent's step."""
        if not self.local_modules:
            return super().train_step(data, optim_wrapper)
        return local_train_step(self, data, optim_wrapper)

    def loss(self, inputs: Tensor, data_samples: SampleList) -> dict[str, Tensor]:
        """Return all modules' losses in one graph with detached borders.

        The same gradients as :meth:`train_step`, without its saving of memory.
        """
        if not self.local_modules:
            return super().loss(inputs, data_samples)
        # mmengine's logger shows a repeated warning once.
        if self.boundaries:
            MMLogger.get_current_instance().warning(
                f'{len(self.boundaries) + 1} local modules train through forward(mode="loss"), '
                'which saves no memory: call train_step, or on several processes set '
                'model_wrapper_cfg=dict(type="LocalDataParallel")'
            )
        losses: dict[str, Tensor] = {}
        for module_losses in self.module_losses(inputs, data_samples):
            losses |= module_losses
        return losses

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Predict as the parent does, by ``test_cfg.chunked_argmax`` without full-size logits."""
        if chunks_argmax(self):
            return predict_in_chunks(self, inputs, data_samples)
        return super().predict(inputs, data_samples)

    def enter(self, index: int, state: State, image: Tensor, history: list[State]) -> State:
        """Return what module ``index`` starts from; context methods override this.

        Args:
            index: Of the module that is entered, from 1.
            state: What the module before it left, detached.
            image: The normalized image.
            history: Inputs of the earlier modules, detached, if ``keeps_history``.
        """
        return state

    def module_losses(
        self, inputs: Tensor, data_samples: SampleList
    ) -> Iterator[dict[str, Tensor]]:
        """Run the modules one by one and yield each one's losses.

        Nothing of a module but its losses holds its graph when they are yielded: run their
        backward pass before asking for the next module's, and its activations are gone.

        Args:
            inputs: Normalized images, ``(B, C, H, W)``.
            data_samples: With the label maps.
        """
        state, history = inputs, list[State]()
        retained: dict[int, Retained] = {}
        for module in self.local_modules:
            self.running_module = module.index
            if module.index:
                state = self.enter(module.index, state, inputs, history)
            if self.keeps_history:
                history.append(state)
            state, features = self._run_module(module, state, retained)
            with recomputing(neck_and_heads(self) if self.recomputes else ()):
                if module.index == len(self.boundaries):
                    features = self.neck(features) if self.with_neck else features
                    losses = self._decode_head_forward_train(features, data_samples)
                else:
                    losses = self._local_losses(module.index, state, inputs, data_samples)
                losses |= self._auxiliary_losses(module, features, data_samples)
            features = ()
            # Nothing starts from the tail's state: only its heads hold it.
            state = inputs if module.index == len(self.boundaries) else detached(state)
            yield losses

    def _run_module(
        self, module: LocalModule, state: State, retained: dict[int, Retained]
    ) -> tuple[State, tuple[Feature | None, ...]]:
        """Run a module's units; return its state and the features that its heads read.

        What the tail reads of earlier modules waits in ``retained``. Features that the module's
        heads do not read are None.
        """
        units, is_tail = self.backbone.units(), module.index == len(self.boundaries)
        emits = numbered_emits(units)
        span = slice(module.start, module.stop)
        reads, tail_reads = module.reads, self.local_modules[-1].reads
        with torch.set_grad_enabled(not module.frozen and torch.is_grad_enabled()):
            state, features, left = self.run_units(
                self.backbone,
                units[span],
                emits[span],
                reads,
                frozenset() if is_tail else tail_reads,
                state,
                module.groups,
            )
        if is_tail:
            features |= {i: left.feature(self.backbone) for i, left in retained.items()}
        retained |= left
        return state, tuple(features.get(index) for index in range(sum(map(len, emits))))

    def border_heads(self, index: int) -> list[Any]:
        """Return the local heads at the end of local module ``index``; a frozen one has none."""
        key = heads_key(self.boundaries[index])
        return list(self.local_heads[key].children()) if key in self.local_heads else []

    def border_features(self, inputs: Tensor, index: int) -> list[Tensor]:
        """Return what the local heads of module ``index`` read of normalized images."""
        state: State = inputs
        for module in self.local_modules[: index + 1]:
            if module.index:
                state = self.enter(module.index, state, inputs, [])
            for unit in self.backbone.units()[module.start : module.stop]:
                state = unit.apply(self.backbone, state)
        return self.backbone.border_features(state)

    def _local_losses(
        self, index: int, state: State, image: Tensor, data_samples: SampleList
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        border = self.backbone.border_features(state)
        for number, head in enumerate(self.border_heads(index)):
            values = head_losses(head, border, data_samples, image)
            for name, weight in loss_weights(head).items():
                values[f'lambda_{name.removeprefix("loss_")}'] = image.new_full((), weight)
            if values.keys() & losses.keys():
                values = add_prefix(values, f'{number}')
            losses |= values
        return add_prefix(losses, f'local_{index}')

    def _auxiliary_losses(
        self, module: LocalModule, features: Sequence[Feature | None], data_samples: SampleList
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        heads = auxiliary_heads(self)
        for index in module.aux_heads:
            name = f'aux_{index}' if isinstance(self.auxiliary_head, nn.ModuleList) else 'aux'
            values = heads[index].loss(features, data_samples, self.train_cfg)
            losses |= add_prefix(values, name)
        return losses

    def module_parameters(self, index: int) -> dict[str, nn.Parameter]:
        """Return the parameters of one module's view by name; the views partition the model's."""
        return module_parameters(self, index)

    @cached_property
    def unshared_parameters(self) -> tuple[frozenset[nn.Parameter], ...]:
        """The parameters of each module but the tail that certainly are no other module's."""
        return unshared_parameters(self)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse the checkpoint of another partition, unless a warm start was asked for."""
        own = [name for name in self.boundaries if heads_key(name) in self.local_heads]
        drop_other_heads(state_dict, prefix, self.boundaries, own, self.warm_start)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


@MODELS.register_module()
class InfoProCascadeEncoderDecoder(InfoProEncoderDecoder, CascadeEncoderDecoder):
    """:class:`CascadeEncoderDecoder` trained by local losses; the cascade is in the tail."""


@MODELS.register_module()
class InfoProDepthEstimator(InfoProEncoderDecoder, DepthEstimator):
    """:class:`DepthEstimator` trained by local losses; ``local.heads`` must be heads for depth."""
