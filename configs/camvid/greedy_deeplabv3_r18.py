# Greedy learning: a linear classifier at every border.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='LinearHead')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task]))
