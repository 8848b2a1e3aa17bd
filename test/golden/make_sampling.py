#!/usr/bin/env python3
"""Makes sampling.json: the distributions that transformers samples from, for fixed logits and settings.

    PYTHON test/golden/make_sampling.py        (PYTHON and versions as in make_models.py, which is run first)

The processors are those that transformers' generate() builds, in its order: repetition penalty (over the ids of prompt and
completion so far), temperature, top-k, top-p, min-p. Logits are either given or those of a golden model after one of its prompts;
no two are equal, so that no cut falls between ties.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers

from cases import CONFIGS
from formula import integers, uniform
from make_models import VERSIONS
from reference import digits, write_json
from sampling_include import write_include

HERE = Path(__file__).resolve().parent

# our names -> transformers' names
NAMES = {'temperature': 'temperature', 'topK': 'top_k', 'topP': 'top_p', 'minP': 'min_p', 'repetitionPenalty': 'repetition_penalty'}
SETTINGS = [
    {},
    {'temperature': 0.7},
    {'temperature': 2.5},
    {'topK': 1},
    {'topK': 5},
    {'topK': 1000},
    {'topP': 0.9},
    {'topP': 0.05},
    {'minP': 0.1},
    {'minP': 1.0},
    {'repetitionPenalty': 1.3},
    {'repetitionPenalty': 0.8},
    {'temperature': 0.7, 'topP': 0.9},
    {'temperature': 1.5, 'topK': 8, 'topP': 0.8},
    {'temperature': 1.5, 'topP': 0.95, 'minP': 0.08},
    {'temperature': 0.8, 'topK': 20, 'topP': 0.9, 'minP': 0.05, 'repetitionPenalty': 1.2},
    {'temperature': 3.0, 'topK': 12, 'topP': 0.85, 'minP': 0.3, 'repetitionPenalty': 1.5},
]


def probabilities(model, logits, ids, settings):
    names = {NAMES[key]: value for key, value in settings.items()}
    config = transformers.GenerationConfig(do_sample=True, **{'top_k': 0, **names})
    processors = model._get_logits_processor(config, input_ids_seq_length=len(ids))
    scores = processors(torch.tensor([ids]), torch.tensor([logits], dtype=torch.float32))[0]
    return {'kept': int(torch.isfinite(scores).sum()), 'probabilities': digits(scores.softmax(-1))}


def main():
    model = transformers.AutoModelForCausalLM.from_config(
        transformers.AutoConfig.for_model('llama', hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                          num_attention_heads=1, vocab_size=8))
    vectors = []
    for name, size, scale in [('narrow', 24, 2.0), ('wide', 40, 6.0)]:
        logits = digits((uniform(f'sampling/{name}', size) * scale).astype(np.float32))
        ids = integers(f'sampling/{name}/ids', 9, size)
        assert len(set(logits)) == size
        vectors.append(({'name': name, 'logits': logits, 'ids': ids}, logits, ids, SETTINGS))
    golden = json.loads((HERE / 'llama' / 'golden.json').read_text())
    prompt = golden['prompts'][1]
    assert len(prompt['logits']) == CONFIGS['llama']['vocab_size']
    vectors.append(({'name': 'llama', 'model': 'llama', 'prompt': 1}, prompt['logits'], prompt['ids'], SETTINGS[-5:]))
    write_json(HERE / 'sampling.json', {
        'script': 'test/golden/make_sampling.py',
        'versions': VERSIONS,
        'dtype': 'float32',
        'tolerance': {'probabilities': 1e-6},
        'vectors': [
            {**entry, 'cases': [{'settings': s, **probabilities(model, logits, ids, s)} for s in settings]}
            for entry, logits, ids, settings in vectors
        ],
    })
    write_include()


if __name__ == '__main__':
    main()
