"""What only Triton's HTTP clients have: forms of tensors, compression, queries, and async_infer."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from sklearn.datasets import load_digits

from tests.contract.triton import Client, client_to

IMAGES = load_digits().data.astype(np.float32)
X = np.arange(8, dtype=np.float32).reshape(2, 4)


@pytest.fixture(
    scope="module",
    params=[(kind, door) for kind in ("http", "http-aio") for door in ("door", "asgi")],
    ids="-".join,
)
def client(request) -> Iterator[Client]:
    kind, door = request.param
    with client_to(kind, request.getfixturevalue(f"{door}_server")) as client:
        yield client


@pytest.fixture(scope="module", params=["door", "asgi"])
def real(request) -> Iterator[triton.InferenceServerClient]:
    """The client itself, with connections for several requests at one time."""
    server = request.getfixturevalue(f"{request.param}_server")
    target = server.url.removeprefix("http://")
    client = triton.InferenceServerClient(target, concurrency=8)
    yield client
    client.close()


# --- forms of tensors


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("got_binary", [True, False])
def test_bytes_or_json_both_ways(client, sent_binary, got_binary):
    x = client.tensor("x", X, binary_data=sent_binary)
    y = client.wants("y", binary_data=got_binary)

    answer = client.infer("twice", [x], outputs=[y])

    np.testing.assert_array_equal(answer.as_numpy("y"), 2 * X)
    described = answer.get_output("y")
    assert ("data" in described) is not got_binary
    # Lesson 25: a C++ client takes `parameters` without `binary_data_size` for an error.
    assert ("parameters" in described) is got_binary


def test_each_output_in_the_form_that_was_asked_for(client):
    answer = client.infer(
        "digits",
        [client.tensor("image", IMAGES[:2])],
        outputs=[
            client.wants("digit", binary_data=False),
            client.wants("probabilities", binary_data=True),
        ],
    )

    assert "data" in answer.get_output("digit")
    assert answer.get_output("probabilities")["parameters"]["binary_data_size"] == 2 * 10 * 4
    assert answer.as_numpy("digit").tolist() == [0, 1]
    assert answer.as_numpy("probabilities").shape == (2, 10)


def test_one_input_as_json_and_one_as_bytes(client):
    answer = client.infer(
        "iris",
        [
            client.tensor("sepal_cm", np.array([[5.1, 3.5]], np.float32), binary_data=False),
            client.tensor("petal_cm", np.array([[1.4, 0.2]], np.float32), binary_data=True),
        ],
    )
    assert answer.as_numpy("species").tolist() == [b"setosa"]


def test_texts_as_json(client):
    words = np.array([["é", "\\u0022"]], object)
    answer = client.infer(
        "BYTES",
        [client.tensor("x", words, "BYTES", binary_data=False)],
        outputs=[client.wants("y", binary_data=False)],
    )
    assert list(answer.as_numpy("y").ravel()) == ["é", "\\u0022"]


@pytest.mark.parametrize("sent", ["gzip", "deflate", None])
@pytest.mark.parametrize("got", ["gzip", "deflate", None])
def test_compression_both_ways(client, sent, got):
    images = IMAGES[:300]
    answer = client.infer(
        "digits",
        [client.tensor("image", images)],
        request_compression_algorithm=sent,
        response_compression_algorithm=got,
    )
    assert answer.as_numpy("probabilities").shape == (300, 10)
    assert answer.as_numpy("digit")[:10].tolist() == list(range(10))


# --- queries and headers


def test_a_query_may_be_appended_to_any_address(client):
    query = {"trace": "yes", "again": ["1", "2"]}

    assert client.is_server_live(query_params=query)
    assert client.is_server_ready(query_params=query)
    assert client.is_model_ready("twice", query_params=query)
    assert client.get_server_metadata(query_params=query)["name"] == "jitney"
    assert client.get_model_metadata("twice", query_params=query)["name"] == "twice"
    assert client.get_model_config("twice", query_params=query)["name"] == "twice"
    assert client.get_inference_statistics(query_params=query)["model_stats"]
    assert client.get_model_repository_index(query_params=query)
    client.load_model("spare", query_params=query)
    answer = client.infer("twice", [client.tensor("x", X)], query_params=query)
    np.testing.assert_array_equal(answer.as_numpy("y"), 2 * X)


def test_headers_of_ones_own(client):
    headers = {"X-Request-Timeout-Ms": "60000", "X-Mine": "yes"}
    answer = client.infer("twice", [client.tensor("x", X)], headers=headers)
    np.testing.assert_array_equal(answer.as_numpy("y"), 2 * X)


def test_bodies_made_and_read_apart_from_the_client(client):
    """For who has a transport of its own."""
    body, length = triton.InferenceServerClient.generate_request_body([client.tensor("x", X)])
    headers = {"Inference-Header-Content-Length": str(length)}
    reply = httpx.post(
        f"http://{client.target}/v2/models/twice/infer", content=body, headers=headers
    )
    answer = triton.InferenceServerClient.parse_response_body(
        reply.content, header_length=int(reply.headers["inference-header-content-length"])
    )
    np.testing.assert_array_equal(answer.as_numpy("y"), 2 * X)


# --- at one time


def test_many_under_way_at_one_time(real):
    asked = []
    for number in range(64):
        x = triton.InferInput("x", [1, 4], "FP32")
        x.set_data_from_numpy(np.full((1, 4), number, np.float32))
        asked.append(real.async_infer("twice", [x], request_id=str(number)))

    for number, each in enumerate(asked):
        answer = each.get_result(timeout=60)
        assert answer.get_response()["id"] == str(number)
        assert (answer.as_numpy("y") == 2 * number).all()


def test_an_error_among_many_is_its_own(real):
    right, wrong = (triton.InferInput("x", [1, width], "FP32") for width in (4, 3))
    right.set_data_from_numpy(np.ones((1, 4), np.float32))
    wrong.set_data_from_numpy(np.ones((1, 3), np.float32))

    asked = [real.async_infer("twice", [each]) for each in (right, wrong, right)]

    assert (asked[0].get_result().as_numpy("y") == 2).all()
    with pytest.raises(triton.InferenceServerException, match="expected shape"):
        asked[1].get_result()
    assert (asked[2].get_result().as_numpy("y") == 2).all()


def test_a_connection_is_kept(real):
    """Also by an error."""
    x = triton.InferInput("x", [2, 4], "FP32")
    x.set_data_from_numpy(X)
    for _ in range(3):
        np.testing.assert_array_equal(real.infer("twice", [x]).as_numpy("y"), 2 * X)
        with pytest.raises(triton.InferenceServerException):
            real.infer("none", [x])
