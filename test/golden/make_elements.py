#!/usr/bin/env python3
"""Two further references for golden models that are there already: see make_models.py for PYTHON and for how they are made.

    PYTHON test/golden/make_elements.py        after make_models.py, which empties the folders

    qwen3-tied/gradients.safetensors   every number of the gradient whose norms and samples golden.json has. One model has them all:
                                       a transposed or misplaced block that summaries could miss is code that all models share.
    llama/adamw-default.json           the three optimizer steps of golden.json with the epsilon that magrpo ships, 1e-8
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


if __name__ == '__main__':
    torch.set_num_threads(1)
    gradients('qwen3-tied')
    default_epsilon('llama')
