"""What the application is told, as texts from a command line and as values from a file."""

from pathlib import Path

import pytest

from serving.ray.options import NOT_HERE, BadOptions, Options
from serving.settings import Settings, options


def test_texts_and_values_say_the_same():
    texts = {"models": "/a,/b", "cpus": "2", "max_replicas": "3", "slo_ms": "50", "metrics": "off"}
    values = {"models": ["/a", "/b"], "cpus": 2, "max_replicas": 3, "slo_ms": 50, "metrics": False}

    assert Options.of(texts) == Options.of(values)
    assert Options.of(texts) == Options(
        settings=Settings(models=(Path("/a"), Path("/b")), slo_ms=50.0, metrics=False),
        cpus=2,
        min_replicas=1,
        max_replicas=3,
    )


def test_nothing_said_is_one_replica_of_the_shipped_models():
    assert Options.of({}) == Options(settings=Settings())
    assert Options.of({"min_replicas": 2}).max_replicas == 2


def test_every_setting_is_taken_or_refused_with_a_reason():
    """Lesson 24: none is ignored in silence."""
    for option in options():
        if option.name in NOT_HERE:
            with pytest.raises(BadOptions, match=f"{option.name} cannot be said here: "):
                Options.of({option.name: option.default})
        else:
            assert Options.of({option.name: option.default}) == Options.of({})


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"modles": "/x"}, "there is no 'modles'; there are models, cpus, "),
        ({"models": 3}, "models must be a path or a list of them, got 3"),
        ({"models": "here"}, "models: here is relative; give the absolute path"),
        ({"cpus": "many"}, "cpus must be a whole number, got 'many'"),
        ({"cpus": True}, "cpus must be a whole number, got True"),
        ({"cpus": 0}, "cpus must be at least 1, got 0"),
        ({"cpus": 1.5}, "cpus must be a whole number, got 1.5"),
        ({"min_replicas": 3, "max_replicas": 2}, "expected 1 <= min_replicas <= max_replicas"),
        ({"slo_ms": "fast"}, "slo_ms must be a number, got 'fast'"),
        ({"slo_ms": -1}, "slo_ms must be at least 0"),
        ({"metrics": "perhaps"}, "metrics must be true or false, got 'perhaps'"),
        ({"log_format": 1}, "log_format must be a text, got 1"),
    ],
)
def test_mistakes_are_told_in_a_sentence(args, says):
    with pytest.raises(BadOptions, match=says.replace("(", r"\(")):
        Options.of(args)
