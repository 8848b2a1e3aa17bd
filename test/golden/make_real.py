#!/usr/bin/env python3
"""Makes real-stories260K.json, real-babyllama.json and real-smollm2.json: what transformers computes with the real fixtures.

    PYTHON test/golden/make_real.py        (PYTHON and versions as in make_models.py)

The models are found as test/support/fixtures.ts finds them; one that is missing is left out. Everything is computed in float32 on
the stored weights, each text alone. `sha256` tells whether the tests look at the same weights.
"""

import hashlib
import os
from pathlib import Path

import torch
import transformers

from make_models import VERSIONS
from reference import digits, logits_of, write_json

HERE = Path(__file__).resolve().parent

STORY = ('Once upon a time, there was a tiny mouse named Tim. Tim had a red hat. "I like my hat," he said. '
         'But one day the wind took it away, and Tim was very sad.')
TEXTS = [STORY, 'Lily saw 3 cats.\nThey ran!', '  two  spaces', 'Zoë ate a “crêpe” 🙂', '']

CHATS = [
    [{'role': 'user', 'content': 'What is the capital of France?'}],
    [{'role': 'system', 'content': 'You summarize posts in one sentence.'},
     {'role': 'user', 'content': 'My brother borrowed my bike 2 weeks ago and now he says he lost it. Should I ask him to pay?'}],
]


def find(name):
    places = [Path(os.environ.get('MAGRPO_CACHE') or Path.home() / '.cache' / 'magrpo') / 'fixtures']
    if os.environ.get('MAGRPO_FIXTURES'):
        places.append(Path(os.environ['MAGRPO_FIXTURES']))
    places.append(HERE.parents[2] / 'shared' / 'models')
    return next((place / name for place in places if (place / name / 'model.safetensors').is_file()), None)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation='eager').eval()


def header(folder):
    return {
        'script': 'test/golden/make_real.py',
        'versions': VERSIONS,
        'dtype': 'float32',
        'tolerance': {'logProbs': 1e-4},
        'sha256': hashlib.sha256((folder / 'model.safetensors').read_bytes()).hexdigest(),
    }


def log_probs(model, prompt, ids):
    with torch.no_grad():
        scores = logits_of(model, prompt + ids)[len(prompt) - 1:-1].log_softmax(-1)
    return digits(scores[torch.arange(len(ids)), torch.tensor(ids)])


def greedy(model, prompt, limit, eos):
    """Greedy ids with their log-probs, and the smallest margin between the two best logits on the way."""
    config = transformers.GenerationConfig(do_sample=False, max_new_tokens=limit, eos_token_id=eos, pad_token_id=0)
    ids = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                         generation_config=config)[0].tolist()[len(prompt):]
    with torch.no_grad():
        top = logits_of(model, (prompt + ids)[:-1])[len(prompt) - 1:].topk(2).values
    return {'prompt': prompt, 'ids': ids, 'logProbs': log_probs(model, prompt, ids),
            'margin': digits((top[:, 0] - top[:, 1]).min())}


def stories(folder):
    model, tokenizer = load(folder), transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / 'tokenizer.json'))
    entry = greedy(model, [1], 64, [1, 2])
    story = tokenizer.encode(STORY)
    return {
        **header(folder),
        'greedy': {**entry, 'text': tokenizer.decode(entry['ids'])},
        'tokenized': [{'text': text, 'ids': tokenizer.encode(text)} for text in TEXTS],
        'scored': {'prompt': [1], 'ids': story, 'logProbs': log_probs(model, [1], story)},
    }


def babyllama(folder):
    model = load(folder)
    return {**header(folder), 'greedy': greedy(model, [1], 48, [2])}


def smollm2(folder):
    model, tokenizer = load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    chats = []
    for messages in CHATS:
        text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        entry = greedy(model, tokenizer.encode(text), 32, [2])
        chats.append({'messages': messages, 'rendered': text, **entry,
                      'text': tokenizer.decode(entry['ids'], skip_special_tokens=True)})
    return {**header(folder), 'chats': chats,
            'tokenized': [{'text': text, 'ids': tokenizer.encode(text)} for text in TEXTS]}


if __name__ == '__main__':
    torch.set_num_threads(1)
    for file, name, make in [('real-stories260K.json', 'stories260K', stories),
                             ('real-babyllama.json', 'babyllama-tok105', babyllama),
                             ('real-smollm2.json', 'SmolLM2-135M-Instruct', smollm2)]:
        folder = find(name)
        if folder is None:
            print(f'{file} is left as it is: {name} is missing')
            continue
        write_json(HERE / file, make(folder))
        print(file)
