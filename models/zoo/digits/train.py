"""Trains the shipped digits model and writes it as 1/model.onnx.

    python models/zoo/digits/train.py

Decides which digits are held out, how the others are varied, and what the
network looks like. What it prints is what the model card states.
"""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits

MODEL = Path(__file__).parent / "1" / "model.onnx"

Images = NDArray[np.float32]
"""Rows of 64 pixels, 0 for paper to 16 for ink."""
Labels = NDArray[np.int64]

BITMAP = (np.indices((32, 32)) - 15.5) / 4
"""Rows and columns of a 32 x 32 bitmap, counted from its centre in pixels of the small image."""

SEED = 0
COPIES = 100
HIDDEN = (128, 64)
# Ever smaller steps: with one rate the accuracy still jumps from epoch to epoch.
LEARNING_RATES_AND_EPOCHS = ((1e-3, 15), (3e-4, 8), (1e-4, 5))


def held_out() -> tuple[Images, Labels]:
    """The quarter of the digits that training never sees, as scikit-learn gives them."""
    _, images, _, labels = _split()
    return images, labels


def _training() -> tuple[Images, Labels]:
    images, _, labels, _ = _split()
    return images, labels


def _split() -> tuple[Images, Images, Labels, Labels]:
    digits = load_digits()
    images, held_images, labels, held_labels = train_test_split(
        digits.data.astype(np.float32),
        digits.target.astype(np.int64),
        test_size=0.25,
        stratify=digits.target,
        random_state=SEED,
    )
    return images, held_images, labels, held_labels


def train(images: Images, labels: Labels) -> MLPClassifier:
    """A network for pixels divided by 16, trained on the images and on varied copies of them."""
    rng = np.random.default_rng(SEED)
    copies = [vary(image, rng) for _ in range(COPIES) for image in images]
    pixels = np.concatenate([images, np.stack(copies)]) / np.float32(16)

    network = MLPClassifier(
        HIDDEN, alpha=1e-2, batch_size=128, warm_start=True, n_iter_no_change=100, random_state=SEED
    )
    # Sums on several threads may be added up in another order, and then every
    # run would write another file.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        # The epochs are counted out on purpose; that they are over is no news.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for rate, epochs in LEARNING_RATES_AND_EPOCHS:
            # `fit` goes on from the weights there are; `partial_fit` would keep the first rate.
            network.set_params(learning_rate_init=rate, max_iter=epochs)
            network.fit(pixels, np.tile(labels, COPIES + 1))
    return network


def vary(image: Images, rng: np.random.Generator) -> Images:
    """The digit as another hand, with another pen, might have put it into the box.

    The data's own way from paper to pixels is taken again: a bitmap of 32 x 32,
    then the ink counted in blocks of 4 x 4.
    """
    turn, slant = np.radians(rng.uniform(-10, 10)), rng.uniform(-0.25, 0.25)
    height, width = rng.uniform(0.8, 1.1), rng.uniform(0.6, 1.3)
    rotated = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    to_image = np.diag([1 / height, 1 / width]) @ rotated @ np.array([[1, 0], [slant, 1]])
    shift = rng.uniform(-1, 1, size=(2, 1, 1))
    # Loops opened and waists widened in one place only: without this an 8 of two
    # clear rings, which few of the writers drew, is taken for a 0.
    bend = ndimage.zoom(rng.normal(0, 0.6, size=(2, 4, 4)), (1, 8, 8), order=1)

    # For each place on the new bitmap, the place on the old image to take it from.
    sources = 3.5 + np.tensordot(to_image, BITMAP - shift, axes=1) + bend
    bitmap = ndimage.map_coordinates(image.reshape(8, 8) / 16, sources, order=1)
    # A low threshold makes a broad pen of it, a high one a fine pen.
    ink = np.clip(4 * (bitmap - rng.uniform(0.3, 0.9)) + 0.5, 0, 1)
    pixels = 16 * ink.reshape(8, 4, 8, 4).mean(axis=(1, 3)) * rng.uniform(0.85, 1.1)
    noisy: Images = (pixels + rng.normal(0, 0.5, size=pixels.shape)).astype(np.float32)
    return noisy.clip(0, 16).ravel()


def export(network: MLPClassifier, path: Path) -> None:
    """Write the network, with the division by 16 in front and the answer behind it."""
    weights = {"full_ink": np.float32(16)}
    nodes = [helper.make_node("Div", ["image", "full_ink"], ["layer_0"])]
    last = len(network.coefs_)
    for n, (weight, bias) in enumerate(
        zip(network.coefs_, network.intercepts_, strict=True), start=1
    ):
        weights |= {f"weight_{n}": weight, f"bias_{n}": bias}
        summed = "logits" if n == last else f"sum_{n}"
        nodes.append(
            helper.make_node("Gemm", [f"layer_{n - 1}", f"weight_{n}", f"bias_{n}"], [summed])
        )
        if n < last:
            nodes.append(helper.make_node("Relu", [summed], [f"layer_{n}"]))
    nodes += [
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 64])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch"]),
        ],
        [
            numpy_helper.from_array(np.asarray(values, np.float32), name)
            for name, values in weights.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def moved(images: Images) -> Images:
    """All images four times: one pixel up, down, left and right; what leaves the box is lost."""
    framed = np.pad(images.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    windows = ((2, 1), (0, 1), (1, 2), (1, 0))
    return np.concatenate([framed[:, y : y + 8, x : x + 8] for y, x in windows]).reshape(-1, 64)


def accuracy(path: Path, images: Images, labels: Labels) -> float:
    """The share of images that the written file, not the network in memory, reads rightly."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (digits,) = session.run(["digit"], {"image": images})
    return float(np.mean(digits == labels))


def main() -> None:
    export(train(*_training()), MODEL)
    images, labels = held_out()
    print(f"held-out accuracy: {accuracy(MODEL, images, labels):.4f} of {len(labels)}")
    print(f"moved by a pixel:  {accuracy(MODEL, moved(images), np.tile(labels, 4)):.4f}")
    print(f"file size:         {MODEL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
