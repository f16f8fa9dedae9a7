"""hsemotion runs ONNX files that bring their network: here a stand-in of the same inputs and outputs, worked out by hand."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from wildaffect import systems
from wildaffect.errors import InputError
from wildaffect.features import hsemotion
from wildaffect.features.embeddings import embed_crops, open_network, preparation
from wildaffect.files import sha256
from wildaffect.workflow.plan import make_plan

WEIGHTS = np.arange(30, dtype=np.float32).reshape(10, 3) / 10


def write_graph(path, outputs: int = 10, last: str = "Gemm", batch="batch_size"):
    """Mean colour of the image (n, 3), then a linear layer to ten values."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["input"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("Gemm", ["vector", "weight", "bias"], ["output" if last == "Gemm" else "raw"], transB=1),
    ]
    if last != "Gemm":
        nodes.append(helper.make_node(last, ["raw"], ["output"]))
    tensors = {"weight": WEIGHTS[:outputs], "bias": np.zeros(outputs, np.float32)}
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, 3, "side", "side"])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [batch, outputs])],
        [numpy_helper.from_array(values, name) for name, values in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8), str(path))
    return path


def expected(colour, variant):
    """Valence, arousal and probabilities of `hsemotion.CLASSES` for an image of one colour."""
    mean, std = {
        "enet_b0": (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])),
        "mobilefacenet": (np.full(3, 0.5), np.full(3, 0.5)),
    }[variant]
    values = WEIGHTS @ ((np.array(colour) / 255 - mean) / std)
    powers = np.exp(values[:8])
    return dict(zip(hsemotion.CLASSES, powers / powers.sum(), strict=True)), values[8:]


@pytest.mark.parametrize(("variant", "side"), [("enet_b0", 224), ("mobilefacenet", 112)])
@pytest.mark.parametrize("batch", ["batch_size", 1])
def test_values_of_the_stand_in(tmp_path, variant, side, batch):
    recipe = systems.predictor_of(systems.set_up("hsemotion", variant, "mtl", "corrected"))
    model, path = recipe.model(), write_graph(tmp_path / "graph.onnx", batch=batch)
    assert recipe.load(model, path) == sha256(path)
    colours = [(10, 200, 90), (255, 0, 0), (0, 0, 0)]
    images = torch.tensor(colours, dtype=torch.uint8)[:, None, None].expand(3, side, side, 3)
    found = recipe.forward(model, {"image": images}).numpy()
    for row, colour in zip(found, colours, strict=True):
        classes, affect = expected(colour, variant)
        # The mean of 50,000 pixels is summed in single precision.
        assert row[:2] == pytest.approx(affect, rel=1e-3, abs=1e-3)
        assert row[2:] == pytest.approx([classes[name] for name in recipe.target.columns[2:]], abs=1e-3)
    assert recipe.target.columns[2:4] == ("Neutral", "Anger") and recipe.target.columns[-1] == "Contempt"


def test_the_embedding_is_what_the_last_layer_is_given(tmp_path):
    path = write_graph(tmp_path / "graph.onnx")
    network, about = open_network("mbf_va_mtl", str(path), tmp_path)
    assert (network.columns, about["sha256"], about["trained"]) == (3, sha256(path), True)
    prepare, words = preparation("mbf_va_mtl")
    image = torch.full((1, 112, 112, 3), 255, dtype=torch.uint8)
    assert network(prepare(image)).tolist() == [[1, 1, 1]] and "112 pixels" in words

    class Crops:
        size, valid, path = 112, np.array([True, False]), "crops"

        def __len__(self):
            return 2

        def read(self, rows):
            return np.full((len(rows), 112, 112, 3), 255, np.uint8)

    embed_crops(network, prepare, Crops(), tmp_path / "vectors" / "a.npy")
    assert np.load(tmp_path / "vectors" / "a.npy").tolist() == [[1, 1, 1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("graph", "part", "said"),
    [
        ({"outputs": 8}, "outputs", "10 values out"),
        ({"last": "Relu"}, "embedding", "its last layer is Relu"),
        (None, "outputs", "not a readable ONNX model"),
    ],
)
def test_other_files_are_refused(tmp_path, graph, part, said):
    path = tmp_path / "graph.onnx"
    write_graph(path, **graph) if graph else path.write_bytes(b"no graph" * 10)
    with pytest.raises(InputError, match=rf"graph\.onnx.*{said}"):
        hsemotion.Graph(part, path)
    with pytest.raises(InputError, match="no file was opened"):
        hsemotion.Graph("outputs")(torch.zeros(1, 3, 8, 8))


def test_shrinking_is_as_opencv_does(tmp_path):
    import cv2

    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    found = hsemotion.PREPARATIONS["mbf_va_mtl"].prepare(torch.from_numpy(image[None]))
    resized = cv2.resize(image.astype(np.float32), (112, 112)) / 255
    assert np.abs(found[0].permute(1, 2, 0).numpy() - (resized - 0.5) / 0.5).max() < 1e-4


def test_planning_says_how_to_get_the_files(tmp_path):
    (tmp_path / "a.mp4").write_text("video")
    config = {
        "corpus": {"layout": "folder", "root": str(tmp_path)},
        "results_dir": str(tmp_path / "results"),
        "faces": {"backend": "dlib", "model": "hog"},
        "models_dir": str(tmp_path / "models"),
        "systems": {"hsemotion": {"variants": ["enet_b0"]}},
    }
    with pytest.raises(InputError, match=r"enet_b0_8_va_mtl.*EmotiEffLib.*SHA-256 expected: not known"):
        make_plan(config)
    path = write_graph(tmp_path / "own.onnx")
    config["systems"]["hsemotion"]["trained"] = str(path)
    plan = make_plan(config)
    assert plan.inputs.templates() == ["cnu224"] and plan.runs.weights(plan.instances[0]) == str(path)
