"""Trains the shipped iris model and writes it as 1/model.onnx.

    python models/zoo/iris/train.py

Decides which flowers are held out and how the classifier is written as ONNX.
What it prints is what the model card states.
"""

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, checker, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

MODEL = Path(__file__).parent / "1" / "model.onnx"

Measures = NDArray[np.float32]
"""Rows of lengths and widths in centimetres: of sepals, of petals, or of both in this order."""
Names = NDArray[np.str_]

SEED = 0


def held_out() -> tuple[Measures, Measures, Names]:
    """The quarter of the flowers that training never sees: sepals, petals and species."""
    _, flowers, _, species = _split()
    return flowers[:, :2], flowers[:, 2:], species


def _training() -> tuple[Measures, Names]:
    flowers, _, species, _ = _split()
    return flowers, species


def _split() -> tuple[Measures, Measures, Names, Names]:
    iris = load_iris()
    flowers, held_flowers, species, held_species = train_test_split(
        iris.data.astype(np.float32),
        iris.target_names[iris.target],
        test_size=0.25,
        stratify=iris.target,
        random_state=SEED,
    )
    return flowers, held_flowers, species, held_species


def export(scaler: StandardScaler, classifier: LogisticRegression, path: Path) -> None:
    """Write scaling and classifier as one graph that takes the two inputs and names the species."""
    numbers = {
        "mean": scaler.mean_,
        "deviation": scaler.scale_,
        "weight": classifier.coef_.T,
        "bias": classifier.intercept_,
    }
    names = helper.make_tensor(
        "names", TensorProto.STRING, [3], [name.encode() for name in classifier.classes_]
    )
    nodes = [
        helper.make_node("Concat", ["sepal_cm", "petal_cm"], ["flower_cm"], axis=1),
        helper.make_node("Sub", ["flower_cm", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "weight", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["index"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "index"], ["species"]),
    ]
    graph = helper.make_graph(
        nodes,
        "iris",
        [
            helper.make_tensor_value_info("sepal_cm", TensorProto.FLOAT, ["batch", 2]),
            helper.make_tensor_value_info("petal_cm", TensorProto.FLOAT, ["batch", 2]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3]),
            helper.make_tensor_value_info("species", TensorProto.STRING, ["batch"]),
        ],
        [
            *(
                numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
                for name, values in numbers.items()
            ),
            names,
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model, full_check=True)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def accuracy(path: Path, sepals: Measures, petals: Measures, species: Names) -> float:
    """The share of flowers that the written file, not the classifier in memory, names rightly."""
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (named,) = session.run(["species"], {"sepal_cm": sepals, "petal_cm": petals})
    return float(np.mean(named == species))


def main() -> None:
    flowers, species = _training()
    scaler = StandardScaler().fit(flowers)
    # Sums on several threads may be added up in another order, and then every
    # run would write another file.
    with threadpool_limits(limits=1):
        classifier = LogisticRegression().fit(scaler.transform(flowers), species)
    export(scaler, classifier, MODEL)
    sepals, petals, held_species = held_out()
    measured = accuracy(MODEL, sepals, petals, held_species)
    print(f"held-out accuracy: {measured:.4f} of {len(held_species)}")
    print(f"file size:         {MODEL.stat().st_size} bytes")


if __name__ == "__main__":
    main()
