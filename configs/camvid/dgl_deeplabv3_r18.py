# Decoupled greedy learning: a small perceptron of pooled pixels at every border.
_base_ = './infopro_deeplabv3_r18.py'
task = dict(type='MLPHead')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[task]))
