#!/usr/bin/env python3
"""Continues texts greedily with what magrpo saved, by transformers' own generate() and the tokenizer beside the weights.

    PYTHON test/golden/greedy_saved.py MODEL [ADAPTER] < in.jsonl       (PYTHON and versions as in make_models.py)

MODEL is a folder or a name of the hub; '-' takes the base that the adapter names. Each line {"prompt": "..", "max_new_tokens": N}
gives {"completion": "..", "completion_ids": [..]}, as `magrpo generate --temperature 0` does.
"""

import json
import sys

import peft
import torch
import transformers


def main(folder, adapter=None):
    if folder == '-':
        config = peft.PeftConfig.from_pretrained(adapter)
        folder, revision = config.base_model_name_or_path, config.revision
    else:
        revision = None
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, revision=revision, dtype=torch.float32)
    # stories260K is a qwen2 with Llama's tokenizer: AutoTokenizer would go by the architecture, not by tokenizer.json.
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, revision=revision)
    if adapter:
        model = peft.PeftModel.from_pretrained(model, adapter)
    model.eval()
    for line in sys.stdin:
        request = json.loads(line)
        inputs = tokenizer(request['prompt'], return_tensors='pt')
        length = inputs['input_ids'].shape[1]
        with torch.no_grad():
            out = model.generate(input_ids=inputs['input_ids'], attention_mask=inputs['attention_mask'],
                                 max_new_tokens=request['max_new_tokens'], do_sample=False)
        ids = out[0, length:].tolist()
        print(json.dumps({'completion': tokenizer.decode(ids, skip_special_tokens=True), 'completion_ids': ids}))


if __name__ == '__main__':
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    main(*sys.argv[1:])
