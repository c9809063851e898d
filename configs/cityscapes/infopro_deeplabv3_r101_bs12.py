_base_ = './infopro_deeplabv3_r50_bs12.py'
model = dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101))
