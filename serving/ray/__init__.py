"""Jitney as a Ray Serve application, for more than one machine. Needs `jitney[ray]`.

`serving.ray.app:app` is what `serve run` and `serve deploy` are told.
"""
