# Decoupled greedy learning: a small perceptron of pooled pixels at every border, K=4.
_base_ = './infopro_deeplabv3_r101.py'
task = dict(type='MLPHead')
model = dict(local=dict(num_modules=4, heads=[task]))
