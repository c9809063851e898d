# The main job: DeepLabV3-R101 on Cityscapes in two local modules, 512x1024, batch 8, 40k.
_base_ = './cityscapes/infopro_deeplabv3_r101.py'
