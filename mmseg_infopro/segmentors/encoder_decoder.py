"""Segmentors whose backbone trains in gradient-isolated local modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper
from mmseg.models.segmentors import CascadeEncoderDecoder, DepthEstimator, EncoderDecoder
from mmseg.registry import MODELS
from mmseg.utils import OptSampleList, SampleList
from torch import Tensor, nn

from ..backbones import trace_backbone
from ..backbones.supported import check_backbone
from ..local.carried import Carried
from ..local.clock import current_iteration
from ..local.context import build_contexts, features_in_context
from ..local.forward import border_features, forward_pass
from ..local.local_losses import border_heads, head_names
from ..local.module import LocalModule, cut_model, module_parameters
from ..local.names import boundary_key, drop_other_heads, own_boundaries
from ..local.schedule_checks import check_phases
from ..local.schedules import build_schedule
from ..local.settings import LocalSettings, offloaded_modules, read_local_settings
from ..local.step import local_train_step
from ..local.thaw import check_patterns
from ..local.units import check_compiled, compile_units, run_units
from ..local.update import unshared_parameters
from ..local_heads.border import borders_of
from ..local_heads.building import build_local_heads, check_places
from ..local_heads.chunking import chunked
from ..local_heads.defaults import head_defaults
from ..planning.choosing import choose_boundaries
from ..recompute.groups import read_recompute
from .chunked_argmax import chunks_argmax, predict_in_chunks

DECODE_HEADS = ('decode_head', 'auxiliary_head')


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

    running_module: int | None = None
    """The local module that runs, or ran last before a backward pass; None outside of steps."""

    running_pass: range | None = None
    """The modules of the pass that runs, forward or backward; None outside of steps."""

    def __init__(self, *args: Any, local: Mapping[str, Any], **kwargs: Any) -> None:
        settings = read_local_settings(local)
        if settings.chunked_losses:
            kwargs |= {key: chunked(kwargs[key]) for key in DECODE_HEADS if key in kwargs}
        super().__init__(*args, **kwargs)
        chunks_argmax(self)  # raises if the setting cannot be met
        self.chunked_losses = settings.chunked_losses
        check_backbone(self.backbone, settings.recompute)
        self.image_range = settings.image_range
        self.may_thaw = settings.may_thaw
        check_patterns(self, settings.may_thaw)
        self.boundaries = choose_boundaries(self, settings, self.head_defaults())
        self.warm_start = settings.warm_start
        self.balance_interval = settings.balance_interval
        self.update_per_module = settings.update_per_module
        self.norm_per_module = settings.norm_per_module
        self.recomputes = settings.recompute != 'none'
        self.offloaded = offloaded_modules(settings.offload, len(self.boundaries) + 1)
        self.run_units: Callable[..., Any] = run_units
        if settings.compile is not None and self.boundaries:
            self.run_units = compile_units(len(self.boundaries) + 1, settings.compile)
        self.schedule = build_schedule(settings.schedule, self.boundaries)
        self.kinds_of_step: set[Any] = set()
        self.local_heads, self.context = nn.ModuleDict(), nn.ModuleDict()
        self.local_modules: tuple[LocalModule, ...] = ()
        if self.boundaries or self.recomputes or self.offloaded:
            self._cut(settings)
        if settings.channels_last:
            self.to(memory_format=torch.channels_last)

    def head_defaults(self) -> dict[str, Any]:
        """Return what a local head may take over from the model."""
        return head_defaults(self) | dict(chunked_losses=self.chunked_losses)

    def _cut(self, settings: LocalSettings) -> None:
        defaults = self.head_defaults()
        in_channels = len(defaults['image_mean'])
        self.backbone.train()  # some freeze their first stages only then
        trace = trace_backbone(self.backbone, in_channels)
        whole = read_recompute(getattr(self.schedule, 'recompute', 'module'))
        if whole == 'auto':
            raise ValueError(
                "local.schedule.recompute='auto' is what local.memory_cap needs: call "
                'mmseg_infopro.resolve(cfg), as our tools do, with a memory_cap'
            )
        recomputes = getattr(self.schedule, 'recompute', 'none') != 'none'
        if settings.compile is not None and self.boundaries and recomputes:
            raise ValueError(
                'local.compile and a local.schedule.recompute exclude each other: a compiled '
                'module cannot recompute; set local.compile=False, or '
                "local.schedule.recompute='none'"
            )
        self.local_modules = cut_model(self, self.boundaries, trace, settings.recompute, whole)
        check_places(settings.heads, len(self.boundaries))
        borders = borders_of(self.backbone, trace, self.boundaries, in_channels)
        trained = [module.index for module in self.local_modules if not module.frozen]
        for border in borders:
            if border.index in trained:
                heads = build_local_heads(settings.heads, border, defaults)
                self.local_heads[boundary_key(border.boundary)] = heads
        if settings.compile is not None:
            check_compiled(head for heads in self.local_heads.values() for head in heads.children())
        if self.boundaries:
            frozen = [module.frozen for module in self.local_modules]
            self.kinds_of_step |= check_phases(self.schedule, frozen, head_names(self))
        fed = [(index, self.boundaries[index - 1]) for index in trained if index]
        entries = [trace.states[name] for name in ('', *self.boundaries)]
        name = type(self.backbone).__name__
        self.context = build_contexts(settings.context, entries, fed, defaults, name)

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
        if self.boundaries and torch.is_grad_enabled():
            MMLogger.get_current_instance().warning(
                f'{len(self.boundaries) + 1} local modules train through forward(mode="loss"), '
                'which saves no memory: call train_step, or on several processes set '
                'model_wrapper_cfg=dict(type="LocalDataParallel")'
            )
        losses: dict[str, Tensor] = {}
        for pass_losses in self.pass_losses(inputs, data_samples):
            for name, value in pass_losses.items():
                # A module that runs in two passes logs its accuracies as of the second one.
                adds = name in losses and 'loss' in name
                losses[name] = losses[name] + value if adds else value
        return losses

    def pass_losses(self, inputs: Tensor, data_samples: SampleList) -> Iterator[dict[str, Tensor]]:
        """Run the passes of the step that is due one by one and yield each one's losses.

        Nothing of a pass but its losses holds its graph when they are yielded: run their backward
        pass before asking for the next ones, and its activations are gone.

        Args:
            inputs: Normalized images, ``(B, C, H, W)``.
            data_samples: With the label maps.
        """
        passes = self.schedule(current_iteration(), len(self.boundaries) + 1)
        starts = {0: Carried(inputs, inputs, data_samples)}
        for position in range(len(passes)):
            yield forward_pass(self, passes, position, starts)

    def extract_feat(self, inputs: Tensor, *args: Any) -> Any:
        """Return the features, of the modules with their contexts where there are any.

        Args:
            inputs: Normalized images, ``(B, C, H, W)``.
            args: What else the parent takes: a depth estimator takes the images' metas.
        """
        if not self.context:
            return super().extract_feat(inputs, *args)
        features = features_in_context(self, inputs)
        return self.neck(features) if self.with_neck else features

    def predict(self, inputs: Tensor, data_samples: OptSampleList = None) -> SampleList:
        """Predict as the parent does, by ``test_cfg.chunked_argmax`` without full-size logits."""
        if chunks_argmax(self):
            return predict_in_chunks(self, inputs, data_samples)
        return super().predict(inputs, data_samples)

    def border_heads(self, index: int) -> list[Any]:
        """Return the local heads at the end of local module ``index``; a frozen one has none."""
        return border_heads(self, index)

    def border_features(self, inputs: Tensor, index: int) -> list[Tensor]:
        """Return what the local heads of module ``index`` read of normalized images."""
        return border_features(self, inputs, index)

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
        own = own_boundaries(self)
        contexts = [f'context.{name}' for name in self.context.state_dict()]
        drop_other_heads(state_dict, prefix, self.boundaries, own, contexts, self.warm_start)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


@MODELS.register_module()
class InfoProCascadeEncoderDecoder(InfoProEncoderDecoder, CascadeEncoderDecoder):
    """:class:`CascadeEncoderDecoder` trained by local losses; the cascade is in the tail."""


@MODELS.register_module()
class InfoProDepthEstimator(InfoProEncoderDecoder, DepthEstimator):
    """:class:`DepthEstimator` trained by local losses; ``local.heads`` must be heads for depth."""
