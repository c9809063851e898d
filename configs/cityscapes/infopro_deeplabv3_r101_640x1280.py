_base_ = './infopro_deeplabv3_r50_640x1280.py'
model = dict(pretrained='open-mmlab://resnet101_v1c', backbone=dict(depth=101))
