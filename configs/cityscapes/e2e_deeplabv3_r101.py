# DeepLabV3-R101 trained end to end: the baseline, at equal everything.
# 4 images per GPU; the paper trains on 2 GPUs, batch 8.
_base_ = [
    '../_base_/models/deeplabv3_r101.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/sgd_poly.py',
    '../_base_/runtime.py',
]
model = dict(data_preprocessor=dict(size=_base_.crop_size))
auto_scale_lr = dict(enable=False, base_batch_size=8)
