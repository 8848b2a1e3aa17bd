#!/usr/bin/env python3
"""Writes sampling.json as a table for the C++ tests, which read no JSON: native/test/sampling_golden.inc.

    python3 test/golden/sampling_include.py        (make_sampling.py does it too)
"""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent.parent / 'native' / 'test' / 'sampling_golden.inc'


def braces(values):
    return '{' + ', '.join(f'{value:.9g}' for value in values) + '}'


def settings_fields(settings):
    """In the order of rollout::Sampling's fields."""
    return braces([settings.get('temperature', 1), settings.get('topK', 0), settings.get('topP', 1), settings.get('minP', 0),
                   settings.get('repetitionPenalty', 1)])


def write_include():
    lines = ['// Made from test/golden/sampling.json by test/golden/sampling_include.py: name, logits, ids and, for each case, the',
             '// settings (temperature, topK, topP, minP, repetitionPenalty), how many tokens are kept, and their probabilities.']
    for vector in json.loads((HERE / 'sampling.json').read_text())['vectors']:
        source = vector
        if 'model' in vector:
            source = json.loads((HERE / vector['model'] / 'golden.json').read_text())['prompts'][vector['prompt']]
        lines.append(f'{{"{vector["name"]}",\n {braces(source["logits"])},\n {braces(source["ids"])},\n {{')
        for case in vector['cases']:
            lines.append(f'  {{{settings_fields(case["settings"])}, {case["kept"]}, {braces(case["probabilities"])}}},')
        lines.append(' }},')
    TARGET.write_text('\n'.join(lines) + '\n')


if __name__ == '__main__':
    write_include()
