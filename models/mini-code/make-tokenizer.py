"""Makes tokenizer.json and tokenizer_config.json of the mini-code model: a byte-level BPE in which every digit is a token.

Usage: python make-tokenizer.py CORPUS FOLDER

CORPUS is a JSON-lines file of strings (what `make.ts --corpus` writes: each prompt and each solution of the training
problems). The result is the same on every machine. Made with tokenizers 0.23.3.
"""

import json
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

END = "<|end|>"
# A line break keeps its indentation and the word after it; words, digits and signs keep the space before them; digits and
# signs stay single, apart from Python's two-character operators and triple quotes.
PIECES = r'\n *[a-z]+| ?[A-Za-z]+| ?[0-9]| ?(?:==|//|\*\*|\.?""")| ?[^\sA-Za-z0-9]|\s+'


def make(corpus: Path, folder: Path) -> None:
    texts = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        # More than there are pieces to merge: every word of the corpus becomes a token.
        vocab_size=1000,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 256,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    print(f"{tokenizer.get_vocab_size()} tokens from {len(texts)} texts")


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
