"""Every method of KServe's two clients, against a server: run by the environment that has them.

    .venv-kserve/bin/python tests/contract/kserve_client.py http://127.0.0.1:8000 [127.0.0.1:8001]

Knows nothing of ours. Ends with an exit code that says whether all was well, after a line for
each thing that was tried.
"""

import asyncio
import logging
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def request(model="twice", array=X, binary=True, outputs=None, **more):
    x = InferInput("x", list(array.shape), "FP32")
    x.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model, [x], request_outputs=outputs, **more)


def check_twice(answer, request_id):
    assert answer.model_name == "twice"
    assert answer.id == request_id, answer.id
    (y,) = answer.outputs
    assert (y.name, y.datatype, list(y.shape)) == ("y", "FP32", [2, 4])
    np.testing.assert_array_equal(y.as_numpy(), 2 * X)


async def fails_with(status, says, call):
    try:
        await call
    except httpx.HTTPStatusError as error:
        got, message = error.response.status_code, str(error)
    except grpc.RpcError as error:
        got, message = error.code().name, error.details()
    else:
        raise AssertionError(f"expected {status}, and all was well")
    assert got == status, (got, message)
    # The message comes from the body, which must be JSON and say that it is.
    assert says in message, message


# --- over HTTP


async def health(rest, url):
    assert await rest.is_server_live(url) is True
    assert await rest.is_server_ready(url) is True
    assert await rest.is_model_ready(url, "twice") is True
    assert await rest.is_model_ready(url, "none") is False


async def inference_as_bytes(rest, url):
    check_twice(await rest.infer(url, request(request_id="7"), model_name="twice"), "7")


async def inference_as_json(rest, url):
    asked = request(binary=False, request_id="8")
    check_twice(await rest.infer(url, asked, model_name="twice"), "8")


async def a_dictionary(rest, url):
    data = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    answer = await rest.infer(url, data, model_name="twice")
    assert answer.outputs[0].as_numpy().tolist() == [[2, 4, 6, 8]]


async def outputs_as_bytes(rest, url):
    asked = request(outputs=[RequestedOutput("y", {"binary_data": True})], request_id="9")
    check_twice(await rest.infer(url, asked, model_name="twice"), "9")
    asked = request(parameters={"binary_data_output": True}, request_id="10")
    check_twice(await rest.infer(url, asked, model_name="twice"), "10")


async def errors(rest, url):
    wrong = request(array=X[:, :3])
    await fails_with(404, "not found", rest.infer(url, request("none"), model_name="none"))
    await fails_with(400, "expected shape", rest.infer(url, wrong, model_name="twice"))


# --- over gRPC


async def grpc_health(client):
    assert await client.is_server_live() is True
    assert await client.is_server_ready() is True
    assert await client.is_model_ready("twice") is True
    await fails_with("NOT_FOUND", "not found", client.is_model_ready("none"))


async def grpc_inference_raw(client):
    check_twice(await client.infer(request(request_id="7")), "7")


async def grpc_inference_typed(client):
    check_twice(await client.infer(request(binary=False, request_id="8"), timeout=30), "8")


async def grpc_errors(client):
    await fails_with("NOT_FOUND", "not found", client.infer(request("none")))
    wrong = request(array=X[:, :3])
    await fails_with("INVALID_ARGUMENT", "expected shape", client.infer(wrong))


async def tried(step, *arguments):
    await step(*arguments)
    print("ok", step.__name__)


async def main(url, target=None):
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as rest:
        for step in (
            health,
            inference_as_bytes,
            inference_as_json,
            a_dictionary,
            outputs_as_bytes,
            errors,
        ):
            await tried(step, rest, url)
    if target:
        async with InferenceGRPCClient(target) as client:
            for step in (grpc_health, grpc_inference_raw, grpc_inference_typed, grpc_errors):
                await tried(step, client)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # it logs every error that it also raises
    asyncio.run(main(*sys.argv[1:]))
