"""What Triton's four Python clients have in common, each against a real server process."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
from sklearn.datasets import load_digits

from tests.contract.conftest import DATATYPES
from tests.contract.triton import Client, client_to
from tests.support.wire import NUMPY

IMAGES = load_digits().data.astype(np.float32)
LABELS = load_digits().target
X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


@pytest.fixture(
    scope="module",
    params=[
        ("http", "door"),
        ("http", "asgi"),
        ("http-aio", "door"),
        ("http-aio", "asgi"),
        ("grpc", "door"),
        ("grpc-aio", "door"),
    ],
    ids="-".join,
)
def client(request) -> Iterator[Client]:
    kind, door = request.param
    with client_to(kind, request.getfixturevalue(f"{door}_server")) as client:
        yield client


# --- health


def test_server_and_models_are_live_and_ready(client):
    assert client.is_server_live() is True
    assert client.is_server_ready() is True
    assert client.is_model_ready("digits") is True
    assert client.is_model_ready("digits", "1") is True
    assert client.is_model_ready("versions", "2") is True


@pytest.mark.parametrize(("name", "version"), [("none", ""), ("digits", "7"), ("versions", "1")])
def test_what_is_not_there_is_not_ready(client, name, version):
    if client.over_http:
        assert client.is_model_ready(name, version) is False
    else:
        assert client.failure("is_model_ready", name, version)[0] == "NOT_FOUND"


# --- metadata and configuration


def test_what_the_server_is(client):
    told = client.told("get_server_metadata")

    assert told["name"] == "jitney"
    assert told["version"]
    assert set(told["extensions"]) == {
        "binary_tensor_data",
        "classification",
        "schedule_policy",
        "model_repository",
        "model_repository(unload_dependents)",
        "model_configuration",
        "statistics",
    }


@pytest.mark.parametrize("version", ["", "1"])
def test_what_a_model_takes(client, version):
    assert client.told("get_model_metadata", "digits", version) == {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
            {"name": "digit", "datatype": "INT64", "shape": [-1]},
        ],
    }


def test_all_versions_that_answer_are_listed(client):
    for version in ("", "2", "3"):
        assert client.told("get_model_metadata", "versions", version)["versions"] == ["2", "3"]


def test_how_a_model_is_served(client):
    config = client.told("get_model_config", "twice", "1")
    config = config if client.over_http else config["config"]

    assert config["name"] == "twice"
    assert config["platform"] == "onnxruntime_onnx"
    assert config["backend"] == "onnxruntime"
    assert config["max_batch_size"] >= 1
    (x,), (y,) = config["input"], config["output"]
    # Without the batch axis, which the metadata's shape has.
    assert (x["name"], x["data_type"], x["dims"]) == ("x", "TYPE_FP32", [4])
    assert (y["name"], y["data_type"], y["dims"]) == ("y", "TYPE_FP32", [4])
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    assert config["dynamic_batching"]["priority_levels"] == 10
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    # Over gRPC what is false is not written.
    assert not config["model_transaction_policy"].get("decoupled", False)
    assert not config["response_cache"].get("enable", False)


def test_texts_are_strings_in_a_configuration(client):
    config = client.told("get_model_config", "BYTES")
    config = config if client.over_http else config["config"]
    assert config["input"][0]["data_type"] == "TYPE_STRING"


@pytest.mark.parametrize("method", ["get_model_metadata", "get_model_config"])
@pytest.mark.parametrize(("name", "version"), [("none", ""), ("twice", "7"), ("versions", "1")])
def test_nothing_is_told_of_what_is_not_there(client, method, name, version):
    code, message = client.failure(method, name, version)

    assert code == "NOT_FOUND"
    assert "not found" in message


# --- statistics


def counted(client: Client, name: str = "", version: str = "") -> list[dict]:
    return client.told("get_inference_statistics", name, version)["model_stats"]


def test_what_a_model_has_done(client):
    (before,) = counted(client, "twice", "1")
    asked_at = time.time()

    client.infer("twice", [client.tensor("x", X)])
    client.infer("twice", [client.tensor("x", X[:1])])
    client.failure("infer", "twice", [client.tensor("x", X[:, :3])])
    (after,) = counted(client, "twice")

    assert (after["name"], after["version"]) == ("twice", "1")
    assert after["inference_count"] - before.get("inference_count", 0) == 3
    assert after["execution_count"] - before.get("execution_count", 0) == 2
    assert abs(after["last_inference"] / 1e3 - asked_at) < 60
    stats, stats_before = after["inference_stats"], before["inference_stats"]
    for key, count in [("success", 2), ("fail", 1), ("queue", 2), ("compute_infer", 2)]:
        assert stats[key].get("count", 0) - stats_before[key].get("count", 0) == count
    for key in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert stats[key]["ns"] > 0
    assert stats["success"]["ns"] >= stats["compute_infer"]["ns"]
    assert not stats["cache_hit"].get("count", 0)
    sizes = {size["batch_size"]: size for size in after["batch_stats"]}
    assert {1, 2} <= set(sizes)
    assert sizes[2]["compute_infer"]["count"] >= 1


def test_statistics_of_all_models_and_of_all_versions(client):
    everything = {(model["name"], model["version"]) for model in counted(client)}

    assert {("digits", "1"), ("versions", "2"), ("versions", "3")} <= everything
    assert [model["version"] for model in counted(client, "versions")] == ["2", "3"]
    assert [model["version"] for model in counted(client, "versions", "2")] == ["2"]


def test_statistics_of_what_is_not_there(client):
    for name, version in [("none", ""), ("twice", "7")]:
        code, message = client.failure("get_inference_statistics", name, version)
        assert code == "NOT_FOUND"
        assert "not found" in message


# --- the repository


def index(client: Client) -> list[dict]:
    told = client.told("get_model_repository_index")
    return told if client.over_http else told["models"]


def test_the_index_lists_every_version_with_its_state(client):
    listed = index(client)

    for name, version in [("digits", "1"), ("versions", "2"), ("versions", "3")]:
        assert {"name": name, "version": version, "state": "READY"} in listed


def test_a_model_is_unloaded_and_loaded_again(client):
    x = client.tensor("x", X)

    client.unload_model("spare")
    assert client.is_server_ready() is True
    assert client.is_model_ready("spare") is False
    assert client.failure("infer", "spare", [x])[0] == "UNAVAILABLE"
    (entry,) = (entry for entry in index(client) if entry["name"] == "spare")
    assert entry["state"] in ("UNLOADING", "UNAVAILABLE")
    assert entry["reason"]

    client.load_model("spare")
    assert client.is_model_ready("spare") is True
    np.testing.assert_array_equal(client.infer("spare", [x]).as_numpy("y"), 2 * X)


def test_loading_what_is_loaded_is_a_reload(client):
    client.load_model("spare")
    client.load_model("spare")
    assert client.is_model_ready("spare") is True


def test_dependents_may_be_unloaded_too_though_there_are_none(client):
    client.unload_model("spare", unload_dependents=True)
    assert client.is_model_ready("spare") is False
    client.load_model("spare")


@pytest.mark.parametrize("name", ["none", "..", "../digits", "digits/1", " ", "a" * 2000])
@pytest.mark.parametrize("method", ["load_model", "unload_model"])
def test_only_what_is_in_the_repository_can_be_loaded(client, method, name):
    """Lesson 28: no name leads out of the repository."""
    code, message = client.failure(method, name)

    assert code == "NOT_FOUND"
    assert "/tmp" not in message


def test_a_configuration_or_files_sent_along_are_refused_and_not_ignored(client):
    """Lesson 24."""
    code, message = client.failure("load_model", "spare", config='{"max_batch_size": 1}')
    assert code == "INVALID_ARGUMENT"
    assert "parameters.config" in message
    assert "own repository" in message
    code, message = client.failure("load_model", "spare", files={"file:1/model.onnx": b"no"})
    assert code == "INVALID_ARGUMENT"
    assert "parameters.file:1/model.onnx" in message


# --- inference


def test_digits(client):
    answer = client.infer("digits", [client.tensor("image", IMAGES[:50])], request_id="42")

    response = answer.get_response()
    told = response if client.over_http else {"id": response.id, "model_name": response.model_name}
    assert (told["id"], told["model_name"]) == ("42", "digits")
    assert (answer.as_numpy("digit") == LABELS[:50]).mean() > 0.9
    assert answer.as_numpy("probabilities").shape == (50, 10)
    assert answer.as_numpy("nothing") is None


def test_each_version_answers_by_its_number_and_the_highest_without(client):
    for version, answers in [("2", "2"), ("3", "3"), ("", "3")]:
        answer = client.infer("versions", [client.tensor("x", X)], version).get_response()
        told = answer["model_version"] if client.over_http else answer.model_version
        assert told == answers


@pytest.mark.parametrize("datatype", DATATYPES)
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_datatype_comes_back_as_it_went(client, datatype, rows):
    values = [[0, 1], [1, 0], [1, 1]]
    array = np.array(values, NUMPY[datatype])
    if datatype == "BYTES":
        array = np.array([[b"", b"\0 \n"], [b"a" * 300, "é".encode()], [b"1", b"2"]], object)
    elif datatype.startswith(("INT", "UINT")):
        limits = np.iinfo(array.dtype)
        array[1] = limits.min, limits.max
    array = array[:rows]

    y = client.infer(datatype, [client.tensor("x", array, datatype)]).as_numpy("y")

    assert y.shape == array.shape
    assert y.dtype == array.dtype
    assert y.tolist() == array.tolist()


def test_only_what_is_asked_for_is_answered(client):
    answer = client.infer(
        "iris",
        [
            client.tensor("sepal_cm", np.array([[5.1, 3.5]], np.float32)),
            client.tensor("petal_cm", np.array([[1.4, 0.2]], np.float32)),
        ],
        outputs=[client.wants("species")],
    )

    assert answer.as_numpy("species").tolist() == [b"setosa"]
    assert answer.as_numpy("probabilities") is None


def test_the_best_classes(client):
    answer = client.infer(
        "digits",
        [client.tensor("image", IMAGES[:3])],
        outputs=[client.wants("probabilities", class_count=2)],
    )

    best = answer.as_numpy("probabilities")
    assert best.shape == (3, 2)
    for row, label in zip(best, LABELS, strict=False):
        (first, index, *_), (second, *_) = (each.decode().split(":") for each in row)
        assert int(index) == label
        assert 1 >= float(first) >= float(second) >= 0


def test_priority_and_timeout_are_parameters(client):
    image = [client.tensor("image", IMAGES[:1])]
    # A minute, in microseconds.
    answer = client.infer("digits", image, priority=1, timeout=60_000_000)
    assert answer.as_numpy("digit") == 0
    code, message = client.failure("infer", "digits", image, timeout=1)
    assert code == "RESOURCE_EXHAUSTED"
    assert "are allowed" in message


def test_parameters_of_ones_own_are_let_through(client):
    image = [client.tensor("image", IMAGES[:1])]
    own = {"customer": "me", "count": 3, "really": True}
    assert client.infer("digits", image, parameters=own).as_numpy("digit") == 0


WRONG = [
    ("NOT_FOUND", "not found", "none", np.ones((1, 4), np.float32), "x", {}),
    ("NOT_FOUND", "not found", "twice", X, "x", {"model_version": "7"}),
    ("INVALID_ARGUMENT", "expected shape [-1, 4], got [2, 3]", "twice", X[:, :3], "x", {}),
    ("INVALID_ARGUMENT", "expected float32, got float64", "twice", X.astype("f8"), "x", {}),
    ("INVALID_ARGUMENT", "'z'", "twice", X, "z", {}),
]


@pytest.mark.parametrize(("code", "says", "model", "array", "name", "more"), WRONG)
def test_what_is_wrong_has_the_code_for_it(client, code, says, model, array, name, more):
    """Lesson 26."""
    datatype = "FP64" if array.dtype == np.float64 else "FP32"
    got, message = client.failure("infer", model, [client.tensor(name, array, datatype)], **more)

    assert got == code
    assert says in message


def test_an_unknown_output(client):
    code, message = client.failure(
        "infer", "twice", [client.tensor("x", X)], outputs=[client.wants("nothing")]
    )

    assert code == "INVALID_ARGUMENT"
    assert "nothing" in message


def test_a_missing_input(client):
    code, message = client.failure("infer", "iris", [client.tensor("sepal_cm", X[:, :2])])

    assert code == "INVALID_ARGUMENT"
    assert "petal_cm" in message


# --- what this server does not have

MISSING = {
    "get_trace_settings": "no trace settings",
    "update_trace_settings": "no trace settings",
    "get_log_settings": "cannot be set",
    "get_system_shared_memory_status": "no shared memory",
    "get_cuda_shared_memory_status": "no shared memory",
    "unregister_system_shared_memory": "no shared memory",
    "unregister_cuda_shared_memory": "no shared memory",
}


@pytest.mark.parametrize("method", MISSING)
def test_what_is_not_implemented_says_so(client, method):
    code, message = client.failure(method)

    assert code == ("NOT_FOUND" if client.over_http else "UNIMPLEMENTED")
    assert MISSING[method] in message


def test_what_takes_arguments_and_is_not_implemented_says_so(client):
    for method, arguments, says in [
        ("update_log_settings", ({"log_info": True},), "cannot be set"),
        ("register_system_shared_memory", ("region", "/key", 64), "no shared memory"),
        ("register_cuda_shared_memory", ("region", b"aGFuZGxl", 0, 64), "no shared memory"),
    ]:
        code, message = client.failure(method, *arguments)
        assert code == ("NOT_FOUND" if client.over_http else "UNIMPLEMENTED")
        assert says in message
