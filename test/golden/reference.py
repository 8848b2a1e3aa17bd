"""How expected values are computed and written; used by the make_*.py scripts of this folder."""

import json

import numpy as np
import torch

from formula import uniform

LEARNING_RATES = [0.01, 0.008, 0.005]
# A larger eps than the default: with 1e-8, the first step of a weight whose gradient is all but zero has the sign of rounding errors,
# and three steps make of it differences that say nothing about the optimizer.
ADAMW = {'betas': (0.9, 0.999), 'eps': 1e-5, 'weight_decay': 0.01}
MAX_GRAD_NORM = 1.0


def digits(values):
    """Numbers of a tensor, array or list as floats of 9 significant digits, which identify a float32."""
    array = values.detach().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim == 0:
        return float(f'{float(array):.9g}')
    return [digits(row) for row in array]


def write_json(path, value):
    """One line for each entry of the first two levels, so that differences between versions can be read."""
    def lines(item, depth):
        if depth == 0 or not isinstance(item, dict) or not item:
            return json.dumps(item, ensure_ascii=False)
        indent = '  ' * (3 - depth)
        body = ',\n'.join(f'{indent}{json.dumps(key)}: {lines(entry, depth - 1)}' for key, entry in item.items())
        return '{\n' + body + '\n' + indent[:-2] + '}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(lines(value, 2) + '\n', encoding='utf-8')


def logits_of(model, ids):
    """(T, V) float32 logits of one text."""
    return model(torch.tensor([ids])).logits[0].float()


def rms(difference):
    return digits(difference.double().square().mean().sqrt())


def score(model, batch):
    """Log-probs and entropies of all completion tokens, and the objective sum_i w_i * log pi(token_i)."""
    scored, objective = [], 0.0
    for group in batch:
        for completion in group['completions']:
            prompt, ids = group['prompt'], completion['ids']
            logits = logits_of(model, prompt + ids)[len(prompt) - 1:-1]
            log_probs = logits.log_softmax(-1)
            own = log_probs[torch.arange(len(ids)), torch.tensor(ids)]
            entropies = -(log_probs.exp() * log_probs).sum(-1)
            objective = objective + (own * torch.tensor(completion['weights'], dtype=own.dtype)).sum()
            scored.append({'logProbs': digits(own), 'entropies': digits(entropies)})
    return scored, objective


def summary(name, tensor):
    """What is kept of a tensor: its norm, its products with two fixed vectors, 12 evenly spread numbers; all of it if it is short."""
    values = tensor.detach().double().numpy().ravel()
    entry = {
        'norm': digits(np.linalg.norm(values)),
        'projections': [digits(values @ uniform(f'projection/{p}/{name}', values.size)) for p in range(2)],
    }
    if values.size <= 64:
        return {**entry, 'values': digits(values)}
    return {**entry, 'samples': digits(values[sample_indices(values.size)])}


def sample_indices(size):
    return np.floor(np.arange(12) * (size - 1) / 11).astype(int)


def trainable(model):
    """Name as saved -> parameter."""
    return {name.replace('.default.', '.'): p for name, p in model.named_parameters() if p.requires_grad}


def training(build, batch):
    """Gradient and three AdamW steps of the model that `build(attention)` gives, with the noise of the result.

    The noise is what fused instead of eager attention, another order of the same sums, changes: the largest difference of a
    tensor's stored numbers, relative to the root mean square of its numbers. It is small for gradients; after AdamW's
    first steps, which divide by the gradient's size, it is large where a gradient is nearly zero (biases of keys).
    """
    result, other = (train(build(attention), batch) for attention in ('eager', 'sdpa'))
    for entries, again in ((result['gradients'], other['gradients']),
                           (result['steps']['weightsAfter'], other['steps']['weightsAfter'])):
        for name, entry in entries.items():
            key = 'values' if 'values' in entry else 'samples'
            size = np.sqrt(np.mean(np.square(entry[key]))) or 1.0
            entry['noise'] = float(f'{np.abs(np.subtract(entry[key], again[name][key])).max() / size:.2g}')
    return result


def train(model, batch):
    """Gradient and three AdamW steps. Changes the model."""
    model.zero_grad()
    _, objective = score(model, batch)
    objective.backward()
    parameters = trainable(model)
    gradients = {name: summary(name, p.grad) for name, p in sorted(parameters.items())}
    optimizer = torch.optim.AdamW(parameters.values(), lr=LEARNING_RATES[0], **ADAMW)
    norms, objectives = [], []
    for rate in LEARNING_RATES:
        optimizer.zero_grad()
        _, objective = score(model, batch)
        (-objective).backward()
        norms.append(digits(torch.nn.utils.clip_grad_norm_(parameters.values(), MAX_GRAD_NORM)))
        objectives.append(digits(objective))
        for group in optimizer.param_groups:
            group['lr'] = rate
        optimizer.step()
    with torch.no_grad():
        scored, objective = score(model, batch)
    return {
        'gradients': gradients,
        'steps': {'gradNorms': norms, 'objectives': [*objectives, digits(objective)], 'scoresAfter': scored,
                  'weightsAfter': {name: summary(name, p) for name, p in sorted(parameters.items())}},
    }
