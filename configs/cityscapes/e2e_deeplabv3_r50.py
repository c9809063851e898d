# DeepLabV3-R50 trained end to end: the baseline, at equal everything.
# 4 images per GPU; the paper trains on 2 GPUs, batch 8.
_base_ = [
    '../_base_/models/deeplabv3_r50.py',
    '../_base_/datasets/cityscapes.py',
    '../_base_/schedules/sgd_poly.py',
    '../_base_/runtime.py',
]
auto_scale_lr = dict(enable=False, base_batch_size=8)
