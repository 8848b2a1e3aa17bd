"""Golden values for lib/text: small tokenizers of the common kinds, encoded and decoded by Hugging Face's own libraries.

Run with a Python that has transformers, tokenizers and jinja2; writes tokenizer_cases.json beside this file:
    python test/golden/text/tokenizer_cases.py [FOLDER_OF_STORIES260K]
The tokenizers are trained here on the few sentences below. With the folder of the stories260K model its tokenizer's ids are
recorded too (under "stories260K", without the tokenizer itself).
"""
import json
import pathlib
import random
import sys

import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent

CORPUS = [
    "Once upon a time, there was a little girl who didn't like the rain. She'll wait until it's over, won't she?",
    "def add(a, b):\n    return a + b\n\n\nif __name__ == '__main__':\n\tprint(add(1, 22), 333, 4444)\n",
    "Der Fluß fließt über die Brücke; las niñas comieron piñas y el año pasó. Łódź, Αθήνα, Москва.",
    "中文文本也很重要。日本語のテキスト。한국어 텍스트입니다. नमस्ते दुनिया.",
    "Emoji: 😀 👩‍👩‍👧 🇩🇪 ❤️ and symbols: € £ ½ → ≤ ∑ 𝔘",
    "The number 1234567 and 3.14159, 50% of $20, e-mail a@b.co, URL https://example.org/x?y=1&z=2.",
] * 3

TEXTS = CORPUS[:6] + [
    "",
    " ",
    "   ",
    "a",
    " leading and trailing ",
    "two  spaces   three\n\nnewlines \n \n\t\ttabs\r\nreturn",
    "I'M you'RE it'S WE'LL don't",
    "e\u0301 vs é, ﬁ ligature, Å Å, Ⅷ ½ ²",
    "\u00a0no-break\u2003em\u3000wide\u200bzero\u2028line",
    "rare: \U0001f9ff \U00020000 \ue000 \u0000 \x07 \x7f",
    "<s> inside </s> and <|im_start|>user<|im_end|> <|eot|>x",
    "  <s>spaced</s>  ",
    "mixedCase123abc456 ABC-def_ghi",
    "▁lower ▁ bars",
    "<0x41> and <0xE2> are text",
    "!?!? ... --- ((a)) [b] {c}",
    "x" * 300,
    "ab " * 60,
]
# Characters of which JavaScript and Rust think differently as white space.
ODD_SPACE_TEXTS = ["a\ufeffb \ufeff c", "a\x85b \x85 c", "\ufeffx", "a\x1cb \x1f c", "a \x85\n b"]

QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_PATTERN = QWEN_PATTERN.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)


def special(*contents):
    return [AddedToken(content, special=True, normalized=False) for content in contents]


def train(tokenizer, size, added, alphabet):
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=added, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def qwen_like():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.NFC()
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    train(t, 400, special("<|endoftext|>", "<|im_start|>", "<|im_end|>"), pre_tokenizers.ByteLevel.alphabet())
    t.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return t, {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "add_bos_token": False}


def smollm_like():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    t.decoder = decoders.ByteLevel()
    train(t, 380, special("<|endoftext|>", "<|im_start|>", "<|im_end|>"), pre_tokenizers.ByteLevel.alphabet())
    return t, {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>"}


def llama3_like():
    t = Tokenizer(models.BPE(ignore_merges=True))
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    t.decoder = decoders.ByteLevel()
    added = special("<|begin|>", "<|end|>", "<|eot|>", "<|head|>", "<|/head|>")
    train(t, 420, added, pre_tokenizers.ByteLevel.alphabet())
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B", special_tokens=[("<|begin|>", 0)]
            ),
        ]
    )
    return t, {"bos_token": "<|begin|>", "eos_token": "<|eot|>"}


def sentencepiece_like(metaspace):
    """Llama 2 and Mistral: spaces as a sign, unknown characters as byte tokens; by a normalizer (older) or Metaspace (newer)."""
    byte_tokens = [f"<0x{i:02X}>" for i in range(256)]
    helper = Tokenizer(models.BPE())
    helper.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    trainer = trainers.BpeTrainer(vocab_size=120, limit_alphabet=60, show_progress=False)
    helper.train_from_iterator(CORPUS[:2], trainer)
    learned = json.loads(helper.to_str())["model"]
    vocab = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *byte_tokens])}
    for token in sorted(learned["vocab"], key=learned["vocab"].get):
        vocab.setdefault(token, len(vocab))
    merges = [tuple(merge) for merge in learned["merges"]]
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.add_special_tokens(special("<unk>", "<s>", "</s>"))
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return t, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


CHATML = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
Be helpful.<|im_end|>
' }}{% endif %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

THINKING = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=-1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if ns.last < 0 and message.role == "user" and message.content is string %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == "assistant" %}
        {%- set content = message.content %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>assistant\\n' + content + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + ('*' if loop.index0 == ns.last else '') + '\\n' + message.content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|head|>system<|/head|>\\n\\nToday is " + date_string + ".\\n\\n" + system_message + "<|eot|>" }}
{%- for message in messages %}
    {{- '<|head|>' + message['role'] + '<|/head|>\\n\\n' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|head|>assistant<|/head|>\\n\\n' }}
{%- endif %}
"""

MISTRAL = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('User and assistant have to take turns.') }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""

USER = {"role": "user", "content": " What's 2+2? <|im_end|> é😀\n"}
SYSTEM = {"role": "system", "content": "  You are terse. "}
ASSISTANT = {"role": "assistant", "content": "<think>\nhm\n</think>\n\n4.\n"}
AGAIN = {"role": "user", "content": "And 3+3?"}
CHATS = [[USER], [SYSTEM, USER], [USER, ASSISTANT, AGAIN], [SYSTEM, USER, ASSISTANT, AGAIN], [USER, ASSISTANT]]
BAD_CHATS = [[USER, AGAIN], [ASSISTANT]]


def chat_cases(fast, template, variables):
    cases = []
    for messages in CHATS + BAD_CHATS:
        for generation in (True, False):
            for extra in variables:
                options = dict(chat_template=template, add_generation_prompt=generation, **extra)
                case = {"messages": messages, "addGenerationPrompt": generation, "variables": extra}
                try:
                    case["text"] = fast.apply_chat_template(messages, tokenize=False, **options)
                    ids = fast.apply_chat_template(messages, tokenize=True, return_dict=False, **options)
                    case["ids"] = list(ids)
                except Exception as error:  # the template's own raise_exception
                    case["error"] = str(error)
                cases.append(case)
    return cases


def cases(fast, vocab_size, seed):
    texts = TEXTS + ODD_SPACE_TEXTS
    encoded = [
        {"text": text, "ids": fast.encode(text), "plain": fast.encode(text, add_special_tokens=False)} for text in texts
    ]
    rng = random.Random(seed)
    decoded = []
    sequences = [case["ids"] for case in encoded[:12]] + [[]]
    for _ in range(60):
        sequences.append([rng.randrange(vocab_size + 3) for _ in range(rng.randrange(1, 14))])
    byte = fast.convert_tokens_to_ids("<0x00>")
    if byte is not None and byte != fast.unk_token_id:
        for raw in (b"\xef\xbb\xbfx", "é€😀".encode(), b"\xe2\x82", b"\xe2\x82\xac\xff", b"\xf0\x9f\x98a", b"\n\n"):
            sequences.append([byte + value for value in raw])
    for ids in sequences:
        decoded.append({"ids": ids, "text": fast.decode(ids), "plain": fast.decode(ids, skip_special_tokens=True)})
    return {"encoded": encoded, "decoded": decoded}


def main():
    result = {
        "versions": {"transformers": transformers.__version__, "tokenizers": tokenizers.__version__},
        "script": "test/golden/text/tokenizer_cases.py",
        "tokenizers": {},
    }
    kinds = {
        "qwen-like": (qwen_like(), {"chatml": (CHATML, [{}]), "thinking": (THINKING, [{}, {"enable_thinking": False}])}),
        "smollm-like": (smollm_like(), {"chatml": (CHATML, [{}])}),
        "llama3-like": (llama3_like(), {"llama3": (LLAMA3, [{}, {"date_string": "1 Jan 2026"}])}),
        "llama2-like": (sentencepiece_like(metaspace=False), {"mistral": (MISTRAL, [{}])}),
        "mistral-like": (sentencepiece_like(metaspace=True), {"mistral": (MISTRAL, [{}])}),
    }
    for seed, (name, ((tokenizer, config), templates)) in enumerate(kinds.items()):
        fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **config)
        result["tokenizers"][name] = {
            "tokenizer": json.loads(fast.backend_tokenizer.to_str()),
            "config": config,
            "special": {
                key: getattr(fast, f"{key}_token_id")
                for key in ("bos", "eos", "pad", "unk")
                if getattr(fast, f"{key}_token_id") is not None
            },
            **cases(fast, len(fast), seed),
            "chats": {
                key: {"template": template, "cases": chat_cases(fast, template, variables)}
                for key, (template, variables) in templates.items()
            },
        }
    if len(sys.argv) > 1:
        fast = PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(sys.argv[1]) / "tokenizer.json"))
        result["stories260K"] = cases(fast, len(fast), 99)
    with open(HERE / "tokenizer_cases.json", "w") as file:
        json.dump(result, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


main()
