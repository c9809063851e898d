# PredSim: similarities of pixels match those of their labels.
_base_ = './infopro_deeplabv3_r18.py'
similarity = dict(type='SimilarityHead')
model = dict(local=dict(boundaries=['layer1.1', 'layer2.1'], heads=[similarity]))
