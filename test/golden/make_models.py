#!/usr/bin/env python3
"""Makes the golden models and their expected values, with transformers, PEFT and torch on the CPU.

    PYTHON test/golden/make_models.py [CASE ...]

PYTHON needs torch 2.13, transformers 5.18, peft 0.21 and safetensors. Everything is deterministic; running it again changes
nothing but, on other versions or processors, the last digits. Per case it writes into test/golden/CASE:

    config.json      the model's settings (cases.py), and sometimes a second spelling of them
    golden.json      inputs, expected values, versions, tolerances
    adapter*/        LoRA adapters as PEFT's save_pretrained writes them

Weights are a formula of the tensor's name (formula.py) and are not stored; test/support/golden-models.ts writes them for the tests.
`llama-sharded` holds the weights of `llama` as transformers' save_pretrained writes them in shards.

Every text is computed alone, without padding, in float32 with eager attention. Gradients are those of the objective
sum_i w_i * log pi(token_i), the direction in which a step moves up; optimizer steps minimise its negative.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import peft
import torch
import transformers

from cases import ADAPTERS, CONFIGS, SPECIAL_ADAPTERS, SPELLINGS, WITHOUT
from formula import integers, uniform, weight
from reference import ADAMW, LEARNING_RATES, MAX_GRAD_NORM, digits, logits_of, rms, score, trainable, training, write_json

HERE = Path(__file__).resolve().parent
PROMPT_LENGTHS = [5, 19, 48]
NEW_TOKENS = 16
MIN_MARGIN = 0.02
VERSIONS = {'torch': torch.__version__, 'transformers': transformers.__version__, 'peft': peft.__version__}


def build(case, config, attention='eager'):
    """The model of a case, from a dictionary as it stands in config.json."""
    folder = HERE / '.config'
    write_json(folder / 'config.json', config)
    parsed = transformers.AutoConfig.from_pretrained(folder)
    shutil.rmtree(folder)
    model = transformers.AutoModelForCausalLM.from_config(parsed, dtype=torch.float32, attn_implementation=attention)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(weight(case, name, tuple(parameter.shape))))
    return model.eval()


def weights_sum(model):
    """sha256 of all weights' float32 bytes, tensors sorted by name: tells a wrong formula from a wrong model."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def greedy(model, prompt, eos=None):
    """What generate() writes at temperature 0, and the smallest margin between the two best logits on the way."""
    config = transformers.GenerationConfig(do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=eos, pad_token_id=0)
    result = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                            generation_config=config)[0].tolist()
    with torch.no_grad():
        top = logits_of(model, result[:-1])[len(prompt) - 1:].topk(2).values
    return result[len(prompt):], (top[:, 0] - top[:, 1]).min().item()


def choose_prompts(case, model):
    """Prompts whose greedy text has no near-tie, so that the last digits cannot change it, and does not stand still."""
    prompts = []
    for length in PROMPT_LENGTHS:
        for attempt in range(1000):
            prompt = integers(f'{case}/prompt/{length}/{attempt}', length, model.config.vocab_size)
            ids, margin = greedy(model, prompt)
            if margin > MIN_MARGIN and len(set(ids)) >= 6:
                prompts.append({'ids': prompt, 'greedy': ids, 'margin': margin})
                break
        else:
            raise SystemExit(f'{case}: no prompt of length {length} has clear margins')
    return prompts


def generation(model, prompts, eos):
    """Expected values of each prompt: last logits, the log-prob of each of its own tokens, greedy text."""
    entries = []
    for prompt in prompts:
        ids = prompt['ids']
        with torch.no_grad():
            logits = logits_of(model, ids)
        own = logits[:-1].log_softmax(-1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]
        text, _ = greedy(model, ids, eos)
        entries.append({
            'ids': ids,
            'logits': digits(logits[-1]),
            'promptLogProbs': digits(own),
            'greedy': text,
            'finish': 'stop' if eos and text[-1] in eos else 'length',
            'margin': digits(prompt['margin']),
        })
    return entries


def groups(case, vocabulary):
    """Two prompts with two completions each, all of different lengths, and a weight for each completion token."""
    result = []
    for g, (prompt_length, lengths) in enumerate([(7, [9, 4]), (21, [13, 1])]):
        completions = []
        for c, length in enumerate(lengths):
            name = f'{case}/group/{g}/completion/{c}'
            weights = np.round(uniform(f'{name}/weights', length), 3)
            if length > 2:
                weights[1] = 0.0
            completions.append({'ids': integers(name, length, vocabulary), 'weights': [float(w) for w in weights]})
        result.append({'prompt': integers(f'{case}/group/{g}/prompt', prompt_length, vocabulary), 'completions': completions})
    return result


def settle_adapter_config(folder, base):
    """PEFT writes target modules in the order of a set and the path of this machine's folder: neither may change from run to run."""
    path = folder / 'adapter_config.json'
    config = json.loads(path.read_text())
    config['base_model_name_or_path'] = base
    for key in ('target_modules', 'exclude_modules', 'modules_to_save'):
        if isinstance(config[key], list):
            config[key].sort()
    path.write_text(json.dumps(config, indent=2) + '\n')


def adapter(case, folder, settings, config, prompts, batch):
    """A LoRA adapter over the case's model: saved by PEFT, with its expected values."""
    def adapted(attention):
        lora = peft.LoraConfig(task_type='CAUSAL_LM', **settings)
        model = peft.get_peft_model(build(case, config, attention), lora).eval()
        with torch.no_grad():
            for name, parameter in trainable(model).items():
                values = uniform(f'{case}/{folder}/{name}', parameter.numel()) * 0.2
                parameter.copy_(torch.from_numpy(values.astype(np.float32)).view_as(parameter))
        return model

    model = adapted('eager')
    model.save_pretrained(HERE / case / folder)
    (HERE / case / folder / 'README.md').unlink()
    settle_adapter_config(HERE / case / folder, f'golden/{case}')
    with torch.no_grad():
        logits = [digits(logits_of(model, prompt['ids'])[-1]) for prompt in prompts]
        scored, _ = score(model, batch)
    result = {'logits': logits, 'scores': scored}
    return {**result, **training(adapted, batch)} if folder == 'adapter' else result


def bfloat16(model, prompts):
    """Logits in bfloat16 (`logits`) and in float32 with weights rounded to bfloat16 (`rounded`), and how far they are apart: what
    rounding the activations costs transformers, which is the measure for what it may cost magrpo. Changes the model."""
    model.to(torch.bfloat16)
    with torch.no_grad():
        logits = torch.stack([logits_of(model, prompt['ids'])[-1] for prompt in prompts])
        model.float()
        rounded = torch.stack([logits_of(model, prompt['ids'])[-1] for prompt in prompts])
    return {'logits': digits(logits), 'rounded': digits(rounded), 'rmsDifference': rms(logits - rounded)}


def make(case):
    config = CONFIGS[case]
    folder = HERE / case
    shutil.rmtree(folder, ignore_errors=True)
    model = build(case, config)
    sha256 = weights_sum(model)
    prompts = choose_prompts(case, model)
    if case == 'qwen2':  # one case whose texts end: at a token that the first prompt's greedy text reaches
        eos = [127, next(t for i, t in enumerate(prompts[0]['greedy']) if i >= 6 and t not in prompts[0]['greedy'][:i])]
    else:
        eos = None
    folder.mkdir()
    (folder / 'config.json').write_text(json.dumps(config, indent=2) + '\n')
    if eos:
        (folder / 'generation_config.json').write_text(json.dumps({'eos_token_id': eos}) + '\n')
    entries = generation(model, prompts, eos)
    longest = entries[-1]

    def difference(other):
        with torch.no_grad():
            return (logits_of(build(case, other), longest['ids'])[-1] - torch.tensor(longest['logits'])).abs().max().item()

    if case in WITHOUT:
        assert difference({**config, **WITHOUT[case]}) > 0.05, f'{case} does not depend on {WITHOUT[case]}'
    if case in SPELLINGS:
        file, removed, added = SPELLINGS[case]
        second = {**{key: value for key, value in config.items() if key not in removed}, **added}
        assert difference(second) < 1e-6, f'{case}: {file} is another model'
        (folder / file).write_text(json.dumps(second, indent=2) + '\n')
    batch = groups(case, config['vocab_size'])
    with torch.no_grad():
        scored, _ = score(model, batch)
    adapters = {name: adapter(case, name, settings, config, entries, batch)
                for name, settings in ADAPTERS.get(case, {}).items()}
    full = training(lambda attention: build(case, config, attention), batch)
    write_json(folder / 'golden.json', {
        'script': 'test/golden/make_models.py',
        'versions': VERSIONS,
        'dtype': 'float32',
        'tolerance': {'logits': 1e-4, 'logProbs': 1e-4, 'gradientsRelative': 1e-4},
        'weightsSha256': sha256,
        'prompts': entries,
        'groups': batch,
        'scores': scored,
        'optimizer': {'learningRates': LEARNING_RATES, 'betas': ADAMW['betas'], 'epsilon': ADAMW['eps'],
                      'weightDecay': ADAMW['weight_decay'], 'maxGradNorm': MAX_GRAD_NORM},
        'full': full,
        'adapters': adapters,
        'bfloat16': bfloat16(model, entries),
    })
    print(case, 'margin', min(p['margin'] for p in prompts), 'size', (folder / 'golden.json').stat().st_size,
          'gradient norms', full['steps']['gradNorms'])


def make_sharded():
    folder = HERE / 'llama-sharded'
    shutil.rmtree(folder, ignore_errors=True)
    build('llama', CONFIGS['llama']).save_pretrained(folder, max_shard_size='130KB')
    (folder / 'generation_config.json').unlink(missing_ok=True)


def make_special_adapters():
    for name, settings in SPECIAL_ADAPTERS.items():
        folder = HERE / 'special-adapters' / name
        shutil.rmtree(folder, ignore_errors=True)
        peft.LoraConfig(task_type='CAUSAL_LM', r=4, lora_alpha=8, **settings).save_pretrained(folder)
        settle_adapter_config(folder, 'golden/llama')


if __name__ == '__main__':
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or CONFIGS:
        make(name)
    if len(sys.argv) == 1:
        make_sharded()
        make_special_adapters()
