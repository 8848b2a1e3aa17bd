#!/usr/bin/env python3
"""Two further references for golden models that are there already: see make_models.py for PYTHON and for how they are made.

    PYTHON test/golden/make_elements.py        after make_models.py, which empties the folders

    qwen3-tied/gradients.safetensors   every number of the gradient whose norms and samples golden.json has. One model has them all:
                                       a transposed or misplaced block that summaries could miss is code that all models share.
    llama/adamw-default.json           the three optimizer steps of golden.json with the epsilon that magrpo ships, 1e-8
    llama-bias/adamw-groups.json       three steps with weight decay 0.5 in one parameter group of torch's AdamW, that of the matrices
"""

import json

import torch
from safetensors.torch import save_file

import reference
from make_models import HERE, VERSIONS, build


def read(case, file):
    return json.loads((HERE / case / file).read_text())


def gradients(case):
    model = build(case, read(case, 'config.json'))
    _, objective = reference.score(model, read(case, 'golden.json')['groups'])
    objective.backward()
    tensors = {name: parameter.grad.contiguous() for name, parameter in reference.trainable(model).items()}
    save_file(tensors, HERE / case / 'gradients.safetensors')


def default_epsilon(case):
    reference.ADAMW = {**reference.ADAMW, 'eps': 1e-8}
    config = read(case, 'config.json')
    trained = reference.training(lambda attention: build(case, config, attention), read(case, 'golden.json')['groups'])
    reference.write_json(HERE / case / 'adamw-default.json', {
        'script': 'test/golden/make_elements.py',
        'versions': VERSIONS,
        'epsilon': 1e-8,
        'steps': {key: trained['steps'][key] for key in ('gradNorms', 'weightsAfter')},
    })


class MatricesDecay(torch.optim.AdamW):
    """AdamW with the usual two groups: matrices decay, vectors (norms and biases) do not."""

    def __init__(self, parameters, **settings):
        parameters = list(parameters)
        super().__init__([{'params': [p for p in parameters if p.ndim > 1]},
                          {'params': [p for p in parameters if p.ndim < 2], 'weight_decay': 0.0}], **settings)


def decay_groups(case):
    settings, optimizer = {**reference.ADAMW, 'eps': 1e-5, 'weight_decay': 0.5}, torch.optim.AdamW
    config = read(case, 'config.json')
    reference.ADAMW, torch.optim.AdamW = settings, MatricesDecay
    trained = reference.training(lambda attention: build(case, config, attention), read(case, 'golden.json')['groups'])
    torch.optim.AdamW = optimizer
    reference.write_json(HERE / case / 'adamw-groups.json', {
        'script': 'test/golden/make_elements.py',
        'versions': VERSIONS,
        'weightDecay': settings['weight_decay'],
        'steps': {key: trained['steps'][key] for key in ('gradNorms', 'weightsAfter')},
    })


if __name__ == '__main__':
    torch.set_num_threads(1)
    gradients('qwen3-tied')
    default_epsilon('llama')
    decay_groups('llama-bias')
