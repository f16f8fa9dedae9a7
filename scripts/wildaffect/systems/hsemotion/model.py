"""The networks of hsemotion, which their ONNX files bring."""

from wildaffect.features.hsemotion import Graph


def build(variant: str) -> Graph:
    """A network that is still to be opened."""
    return Graph("outputs")
