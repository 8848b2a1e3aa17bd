#!/usr/bin/env python3
"""Makes an adapter with PEFT itself, trained for some steps by torch, so that B is not zero; says what it computes.

    PYTHON test/golden/make_adapter.py MODEL OUT SETTINGS < in.jsonl    (PYTHON and versions as in make_models.py)

SETTINGS are JSON for peft.LoraConfig. Each line {"prompt": "..", "max_new_tokens": N} gives {"completion_ids": [..]}, continued
greedily, after a first line {"largest_b": x, "base_differs": true|false}.
"""

import json
import sys

import peft
import torch
import transformers


def main(folder, out, settings):
    torch.manual_seed(5)
    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # stories260K is a qwen2 with Llama's tokenizer: AutoTokenizer would go by the architecture, not by tokenizer.json.
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    requests = [json.loads(line) for line in sys.stdin]

    def greedy(model):
        def continued(request):
            ids = tokenizer(request['prompt'], return_tensors='pt')['input_ids']
            with torch.no_grad():
                out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                                     max_new_tokens=request['max_new_tokens'])
            return out[0, ids.shape[1]:].tolist()
        return [continued(request) for request in requests]

    before = greedy(base.eval())
    model = peft.get_peft_model(base, peft.LoraConfig(task_type='CAUSAL_LM', **json.loads(settings)))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    text = tokenizer('Once upon a time, there was a big red dragon. The dragon liked soup.', return_tensors='pt')['input_ids']
    model.train()
    for _ in range(12):
        model(input_ids=text, labels=text).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    after = greedy(model)
    model.save_pretrained(out)
    largest = max(p.abs().max().item() for name, p in model.named_parameters() if 'lora_B' in name)
    print(json.dumps({'largest_b': largest, 'base_differs': before != after}))
    for ids in after:
        print(json.dumps({'completion_ids': ids}))


if __name__ == '__main__':
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    main(*sys.argv[1:])
