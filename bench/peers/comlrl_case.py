"""CoMLRL's own MAGRPOTrainer: one call of `train` over one item is one step of the team."""

import contextlib
import io

import models
import words


def make(request):
    from comlrl.trainers.reinforce import MAGRPOConfig, MAGRPOTrainer

    team = [models.load(request["root"], request["model"], agent) for agent in range(request["agents"])]
    config = MAGRPOConfig(
        num_train_epochs=1,
        agent_learning_rate=request["learningRate"],
        num_agents=len(team),
        num_generations=request["groupSize"],
        max_new_tokens=request["newTokens"],
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        num_turns=1,
        early_termination_threshold=None,
        eval_interval=0,
        rollout_buffer_size=1,
        agent_devices="cpu",
    )
    trainer = MAGRPOTrainer(
        agents=team,
        num_agents=len(team),
        tokenizer=words.tokenizer(team[0].config.vocab_size),
        train_dataset=[{"prompt": words.text_of(request["promptIds"])}],
        reward_func=lambda first, second: [words.share(a, 0) * words.share(b, 1) for a, b in zip(first, second)],
        args=config,
    )

    def run():
        # It writes its progress where our answers go.
        with contextlib.redirect_stdout(io.StringIO()):
            trainer.train(min_new_tokens=request["newTokens"])

    return run
