"""Small models of text: a tokenizer of a few words, and an encoder to go with it."""

from pathlib import Path

import numpy as np
from onnx import TensorProto
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing

from .onnx_models import write

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("bus", "car", "late", "red", "the", "town", "very", "waits")
WIDTH = 3

VECTORS = np.random.default_rng(1).standard_normal((len(SPECIAL + WORDS), WIDTH), np.float32)
"""What the encoder gives for each token: it looks at no other."""


def token(word: str) -> int:
    return (SPECIAL + WORDS).index(word)


def tokenizer(path: Path, *, special: bool = True, padding: bool = False) -> Path:
    """A tokenizer.json. `special`: with [CLS] before and [SEP] after every text."""
    tokens = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    made = Tokenizer(WordLevel(tokens, unk_token="[UNK]"))
    made.pre_tokenizer = WhitespaceSplit()
    if special:
        made.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]",
            special_tokens=[("[CLS]", token("[CLS]")), ("[SEP]", token("[SEP]"))],
        )
    if padding:
        # As some come: everything padded to a fixed length, and cut.
        made.enable_padding(pad_id=token("[PAD]"), pad_token="[PAD]", length=16)
        made.enable_truncation(16)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.save(str(path))
    return path


def encoder(
    path: Path,
    *,
    inputs: tuple[str, ...] = ("input_ids", "attention_mask"),
    shape: tuple[str | int, str | int] = ("batch", "sequence"),
    dtype: int = TensorProto.INT64,
) -> Path:
    """`tokens`: a vector a token, without a look at the mask. `first`: a vector a text."""
    return write(
        path,
        [
            ("Gather", ["vectors", "input_ids"], ["tokens"]),
            ("Slice", ["input_ids", "zero", "one", "one"], ["firsts"]),
            ("Squeeze", ["firsts", "one"], ["first_ids"]),
            ("Gather", ["vectors", "first_ids"], ["first"]),
        ],
        [(name, dtype, list(shape)) for name in inputs],
        [
            ("first", TensorProto.FLOAT, [shape[0], WIDTH]),
            ("tokens", TensorProto.FLOAT, [*shape, WIDTH]),
        ],
        {"vectors": VECTORS, "zero": np.array([0]), "one": np.array([1])},
    )
