"""Files in, their types out. What magika's model looks at, and how sure it must be, is in its
config.min.json; which types are text, in content_types_kb.min.json. Both lie beside this file.

The model sees the first bytes of a file and the last, without the white space around them.
"""

import json
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
CONFIG = json.loads((HERE / "config.min.json").read_text(encoding="utf-8"))
KINDS = json.loads((HERE / "content_types_kb.min.json").read_text(encoding="utf-8"))

FIRST, LAST = CONFIG["beg_size"], CONFIG["end_size"]
BLOCK = CONFIG["block_size"]  # white space is looked for in so many bytes at either end
PADDING = CONFIG["padding_token"]
FEWEST = CONFIG["min_file_size_for_dl"]

LABELS = CONFIG["target_labels_space"]
INSTEAD = CONFIG["overwrite_map"]
SURE_ENOUGH = np.array(
    [CONFIG["thresholds"].get(label, CONFIG["medium_confidence_threshold"]) for label in LABELS]
)

if CONFIG["mid_size"] or CONFIG["use_inputs_at_offsets"]:
    raise RuntimeError("this version of magika looks at more of a file than its two ends")


def before(inputs):
    """The two ends of each file, as numbers."""
    files = inputs["content"]
    ends = np.full((len(files), FIRST + LAST), PADDING, np.int32)
    for row, content in enumerate(files):
        first = content[:BLOCK].lstrip()[:FIRST]
        last = content[-BLOCK:].rstrip()[-LAST:]
        if len(first) < FEWEST:
            raise ValueError(
                f"content[{row}]: {len(first)} bytes, white space aside, are too few "
                f"to tell a file's type from; {FEWEST} are needed"
            )
        ends[row, : len(first)] = np.frombuffer(first, np.uint8)
        ends[row, FIRST + LAST - len(last) :] = np.frombuffer(last, np.uint8)
    return {"bytes": ends}


def after(outputs):
    """The likeliest type of each file, or only whether it is text, where that is not sure."""
    likely = outputs["target_label"]
    best = likely.argmax(axis=1)
    score = likely.max(axis=1)
    sure = score >= SURE_ENOUGH[best]
    return {
        "label": np.array([_named(LABELS[b], s) for b, s in zip(best, sure, strict=True)], object),
        "score": score,
    }


def _named(label, sure):
    label = INSTEAD.get(label, label)
    if sure:
        return label
    return "txt" if KINDS[label]["is_text"] else "unknown"
