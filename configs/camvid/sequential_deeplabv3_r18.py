# Sequential greedy training: one module after the other.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
schedule = dict(type='Sequential')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task], schedule=schedule))
