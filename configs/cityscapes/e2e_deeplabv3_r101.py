_base_ = './e2e_deeplabv3_r50.py'
model = dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101))
