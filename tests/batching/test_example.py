import doctest

import batching.batcher


def test_the_example_in_the_docstring_works():
    results = doctest.testmod(batching.batcher)

    assert results.attempted > 0
    assert results.failed == 0
