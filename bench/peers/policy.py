"""What the peers compute, in the shapes of TRL (batched rows) and CoMLRL (row by row): sampling, log-probs, updates."""

import torch


def prompt_row(request):
    return torch.tensor([request["promptIds"]])


def full_rows(request):
    """(G, P + T) prompt and completion of each sample."""
    return torch.tensor([request["promptIds"] + ids for ids in request["completions"]])


def sample(model, prompt, rows, tokens, **options):
    """(rows, P + tokens) plain sampling at temperature 1 by Hugging Face's generate."""
    with torch.inference_mode():
        return model.generate(
            input_ids=prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=tokens,
            num_return_sequences=rows,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            use_cache=True,
            **options,
        )


def greedy(model, prompt, tokens):
    with torch.inference_mode():
        rows = model.generate(
            input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=tokens, do_sample=False, use_cache=True
        )
    return rows[0, prompt.shape[1] :].tolist()


def log_probs(model, rows, tokens):
    """(G, T) of the last tokens; logits of all completion positions at once, none of the prompt."""
    out = model(input_ids=rows, attention_mask=torch.ones_like(rows), logits_to_keep=tokens + 1, use_cache=False)
    logits = out.logits[:, :-1]
    return logits.gather(-1, rows[:, -tokens:].unsqueeze(-1)).squeeze(-1) - torch.logsumexp(logits, -1)


def clipped_loss(new, old, advantages, clip=0.2):
    """PPO's clipped loss, mean over tokens."""
    ratio = torch.exp(new - old)
    weights = advantages.unsqueeze(1)
    return -torch.min(ratio * weights, ratio.clamp(1 - clip, 1 + clip) * weights).mean()


def update_batched(model, optimizer, rows, prompt, advantages, old=None):
    """All rows in one pass. Without `old` (G, T) the policy itself sampled just before: the ratio is 1."""
    optimizer.zero_grad(set_to_none=True)
    new = log_probs(model, rows, rows.shape[1] - prompt)
    clipped_loss(new, new.detach() if old is None else old, advantages).backward()
    optimizer.step()


def update_rows(model, optimizer, rows, prompt, advantages):
    """One row at a time over the whole text, one log-softmax a token, one backward pass for all: CoMLRL's way."""
    optimizer.zero_grad(set_to_none=True)
    total = 0.0
    for row, advantage in zip(rows, advantages):
        out = model(input_ids=row[:-1].unsqueeze(0), attention_mask=torch.ones(1, len(row) - 1), use_cache=False)
        logits = out.logits[0, prompt - 1 :]
        terms = [torch.log_softmax(logits[t], -1)[row[prompt + t]] for t in range(len(row) - prompt)]
        total = total - torch.stack(terms).sum() * advantage
    (total / len(rows)).backward()
    optimizer.step()


def group_advantages(rewards):
    rewards = torch.tensor(rewards)
    return (rewards - rewards.mean()) / rewards.std(unbiased=False).clamp(min=1e-6)


def joint_reward(first, second):
    """Share of even ids in the first completion times share of odd ones in the second."""
    return float((first % 2 == 0).float().mean() * (second % 2 == 1).float().mean())


def optimizer_of(model, request):
    return torch.optim.AdamW(model.parameters(), lr=request["learningRate"])
