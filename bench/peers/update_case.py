"""Update of one agent's weights: gradient and one step of AdamW."""

import torch

import models
import policy


def make(request):
    model = models.load(request["root"], request["model"], 0).train()
    optimizer = policy.optimizer_of(model, request)
    rows, advantages = policy.full_rows(request), torch.tensor(request["advantages"])
    prompt = len(request["promptIds"])
    return lambda: policy.update_batched(model, optimizer, rows, prompt, advantages)
