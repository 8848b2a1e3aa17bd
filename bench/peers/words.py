"""Text for trainers that take nothing else: one word a token id."""


def tokenizer(vocab):
    """A tokenizer whose word `w17` is token 17."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    ids = {"<pad>": 0, "<bos>": 1, "<eos>": 2, **{f"w{i}": i for i in range(3, vocab)}}
    words = Tokenizer(WordLevel(ids, unk_token="<pad>"))
    words.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", padding_side="left"
    )


def text_of(ids):
    return " ".join(f"w{i}" for i in ids)


def share(text, rest):
    """Share of words whose number leaves this rest when halved."""
    numbers = [int(word[1:]) for word in text.split() if word.startswith("w")]
    return sum(number % 2 == rest for number in numbers) / max(1, len(numbers))
