"""TRL's own GRPOTrainer. It trains one policy, so that a team takes one of its steps per agent."""

import os
import tempfile
import time

import models
import words


class Loop:
    """The trainer's loop, held at the beginning of each step until the next repetition is asked for."""

    def __init__(self, request):
        self.request = request

    def prompts(self, count):
        """Prompts of one length, all different, as ours."""
        ids = self.request["promptIds"]
        return [words.text_of([ids[(i + 3 * item) % len(ids)] for i in range(len(ids))]) for item in range(count)]

    def serve(self, stream, answer):
        """Answers `run` from within the loop until the input ends. One repetition is the time between two beginnings of a step."""
        from datasets import Dataset
        from transformers import TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        request, agents = self.request, self.request["agents"]

        class Gate(TrainerCallback):
            begun = None

            def on_step_begin(self, *_, **__):
                if self.begun is None:
                    answer()
                else:
                    wall, cpu = time.perf_counter() - self.begun[0], time.process_time() - self.begun[1]
                    answer({"seconds": wall, "cpuSeconds": cpu, "times": agents})
                if next(stream, None) is None:
                    os._exit(0)
                self.begun = (time.perf_counter(), time.process_time())

        tokens, prompts, ranks = request["newTokens"], request.get("stepPrompts", 1), request.get("ranks", 1)
        config = GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=request["groupSize"] * prompts // ranks,
            num_generations=request["groupSize"],
            gradient_accumulation_steps=1,
            max_completion_length=tokens,
            max_steps=100_000,
            learning_rate=request["learningRate"],
            use_cpu=request.get("device") is None,
            **({"ddp_backend": "gloo"} if ranks > 1 else {}),
            bf16=False,
            gradient_checkpointing=False,
            report_to=[],
            logging_steps=100_000,
            save_strategy="no",
            disable_tqdm=True,
            beta=0.0,
            temperature=1.0,
            loss_type="grpo",
            optim="adamw_torch",
            lr_scheduler_type="constant",
            max_grad_norm=0.0,
            generation_kwargs={"min_new_tokens": tokens},
        )
        model = models.load(request["root"], request["model"], 0)
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [words.share(text, 0) for text in completions],
            args=config,
            train_dataset=Dataset.from_dict({"prompt": self.prompts(max(prompts, 8))}),
            processing_class=words.tokenizer(model.config.vocab_size),
            callbacks=[Gate()],
        )
        trainer.train()


def make(request):
    return Loop(request)
