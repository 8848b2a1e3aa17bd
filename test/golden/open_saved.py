#!/usr/bin/env python3
"""Opens a model folder, and an adapter over it, with transformers and PEFT: shows that what magrpo saved is theirs to read.

    PYTHON test/golden/open_saved.py FOLDER [ADAPTER] < in.jsonl        (PYTHON and versions as in make_models.py)

Each line {"prompt_ids": [..], "completion_ids": [..]} gives {"logprobs": [..]}, as `magrpo logprobs` does. Weights that are missing
or left over are errors.
"""

import json
import sys

import peft
import torch
import transformers

from reference import digits, logits_of


def main(folder, adapter=None):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation='eager', output_loading_info=True)
    wrong = {key: sorted(map(str, names)) for key, names in report.items() if names}
    if wrong:
        sys.exit(f'{folder}: {wrong}')
    if adapter:
        weights = peft.utils.load_peft_weights(adapter, device='cpu')
        model = peft.PeftModel.from_pretrained(model, adapter)
        own = peft.get_peft_model_state_dict(model)
        if sorted(own) != sorted(weights):
            sys.exit(f'{adapter}: {sorted(set(own) ^ set(weights))}')
    model.eval()
    for line in sys.stdin:
        request = json.loads(line)
        prompt, ids = request['prompt_ids'], request['completion_ids']
        with torch.no_grad():
            scores = logits_of(model, prompt + ids)[len(prompt) - 1:-1].log_softmax(-1)
        print(json.dumps({'logprobs': digits(scores[torch.arange(len(ids)), torch.tensor(ids)])}))


if __name__ == '__main__':
    torch.set_num_threads(1)
    main(*sys.argv[1:])
