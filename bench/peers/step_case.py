"""A whole step of a team, each agent with weights of its own: rollout, joint reward, update."""

import models
import policy

UPDATES = {"step-batched": policy.update_batched, "step-rows": policy.update_rows}


def make(request):
    update = UPDATES[request["case"]]
    team = [models.load(request["root"], request["model"], agent).train() for agent in range(request["agents"])]
    optimizers = [policy.optimizer_of(model, request) for model in team]
    prompt = policy.prompt_row(request)
    length = prompt.shape[1]

    def run():
        rows = []
        for model in team:
            model.eval()
            # Tensors made in inference mode cannot enter autograd: hence the copy.
            rows.append(policy.sample(model, prompt, request["groupSize"], request["newTokens"]).clone())
            model.train()
        pairs = zip(rows[0][:, length:], rows[1][:, length:])
        advantages = policy.group_advantages([policy.joint_reward(first, second) for first, second in pairs])
        for model, optimizer, own in zip(team, optimizers, rows):
            update(model, optimizer, own, length, advantages)

    return run
