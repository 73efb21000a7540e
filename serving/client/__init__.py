"""A client for Python programs: numpy in, numpy out, in time or with an error that says why not.

    import numpy as np
    from serving.client import Client, Overloaded

    image = np.zeros((1, 64))
    with Client("http://127.0.0.1:8000", timeout_s=1.0) as client:
        answer = client.infer("digits", image=image)
        print(answer["digit"], answer.timing)
        try:
            client.infer("digits", image=image, timeout_s=0.05, priority=1)
        except Overloaded as error:
            print(f"come back in {error.retry_after_s} s")
        for answer in client.map("digits", ({"image": image} for _ in range(1000))):
            print(answer.index, answer["digit"])

`AsyncClient` is the same with `await`, and its `map` is `stream`, for `async for`.

What a call does, in the order of the files: values become tensors of the model's own types
(`tensors`, `wire`; the types are asked for once, `metadata`), go out over a kept connection
(`http`, `sockets`, `streams`), again where that may help (`retry`), and the bytes that come back
become an `Answer`. `core` holds it together without doing any I/O; `blocking` and
`asynchronous` do what it says. `windows` puts many through.

A call may be sent more than once, for inference changes nothing at the server: after 429 and
503, and after a connection that ended before a byte of a reply; never after any other reply.

Why HTTP is spoken here, and not by a library: on one connection, or 64, of one process, a
request of 64 floats to the digits model and its reply cost the client's CPU, in µs,

    blocking: httpx 470, urllib3 223, http.client 127, httptools on a socket 36
    awaiting: httpx 4000, aiohttp 135 (99 without its conveniences), httptools on asyncio 38

before a tensor is made of anything. With tensors, deadlines and retries this client takes about
110 blocking and 63 awaiting, where tritonclient takes 182 and 210. (Measured one after the
other on a busy machine of two cores: good for the ratios.) httptools is what the server is
built on, so it is there; with it the two clients share one reading of replies, a cancelled call
closes its connection at once, and it is known whether a byte of a reply had come. What is not
here: proxies of the environment, redirects, cookies, HTTP/2, compression.
"""

from .answer import Answer, Timing
from .asynchronous import AsyncClient
from .blocking import Client
from .errors import (
    DeadlineExceeded,
    InvalidRequest,
    JitneyError,
    ModelNotFound,
    Overloaded,
    ServerFailed,
    Unavailable,
)
from .metadata import ModelMetadata, ModelState, TensorSpec
from .retry import RetryBudget

__all__ = [
    "Answer",
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "InvalidRequest",
    "JitneyError",
    "ModelMetadata",
    "ModelNotFound",
    "ModelState",
    "Overloaded",
    "RetryBudget",
    "ServerFailed",
    "TensorSpec",
    "Timing",
    "Unavailable",
]
