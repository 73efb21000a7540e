"""Sentences whose lengths in tokens are as natural ones are: log-normal.

Median 21 tokens, mean 28, none above 256, the same every time. Made of whole words of the
tokenizer's own vocabulary, so that a word is a token and the lengths are exact.
"""

import json
import math
import random
from pathlib import Path
from statistics import NormalDist

MEDIAN, MEAN, LONGEST = 21, 28, 256
SPECIAL_TOKENS = 2  # a sentence begins with [CLS] and ends with [SEP]

# BERT's vocabulary is in order of frequency; before these are signs and single letters.
FREQUENT = slice(1996, 12000)


def sentences(tokenizer: Path, count: int = 512, seed: int = 0) -> list[str]:
    """So many sentences. tokenizer: a tokenizer.json of BERT's kind."""
    ids: dict[str, int] = json.loads(tokenizer.read_text())["model"]["vocab"]
    by_rank = sorted(ids, key=lambda word: ids[word])
    words = [word for word in by_rank[FREQUENT] if word.isascii() and word.isalpha()]
    random_ = random.Random(seed)
    made = []
    for length in lengths(count, seed):
        chosen = random_.choices(words, k=length - SPECIAL_TOKENS)
        made.append(" ".join(chosen))
    return made


def lengths(count: int, seed: int = 0) -> list[int]:
    """Lengths in tokens, in random order.

    They are the quantiles of the distribution, not draws from it: a few hundred draws would
    miss the median and the mean by a token or two, and the longest by many.
    """
    sigma = math.sqrt(2 * math.log(MEAN / MEDIAN))
    normal = NormalDist(math.log(MEDIAN), sigma)
    drawn = [math.exp(normal.inv_cdf((i + 0.5) / count)) for i in range(count)]
    rounded = [min(LONGEST, max(SPECIAL_TOKENS + 1, round(length))) for length in drawn]
    random.Random(seed + 1).shuffle(rounded)
    return rounded
