"""The generator of the reference's weights and inputs: if this fails, no other golden test means anything."""

import numpy as np

from support.fill import generator, make_array, sample_input


def test_random_bits_are_those_the_reference_was_made_with():
    normals = [-0.8957986369949148, 0.6508364481256742, -0.437745840249238, 0.11583312748348147]
    uniforms = [0.7251297617626049, 0.1206146440090824, 0.5754270054597247, 0.13451446457784]
    np.testing.assert_allclose(generator("golden").standard_normal(4), normals, rtol=0, atol=1e-12)
    np.testing.assert_allclose(sample_input("golden", (4,), 0, 1), uniforms, rtol=0, atol=1e-7)


def test_entries_are_scaled_by_kind():
    """A norm's weight lies around one, a PReLU's around a quarter, a kernel's variance is one over its inputs."""
    shapes = {"n.weight": (4096,), "n.bias": (4096,), "p.weight": (4096,), "c.weight": (64, 16, 2, 2)}
    made = {key: make_array(key, shape, shapes, conv_gain=2) for key, shape in shapes.items()}
    means = {"n.weight": 1, "n.bias": 0, "p.weight": 0.25, "c.weight": 0}
    spreads = {"n.weight": 0.1, "n.bias": 0.1, "p.weight": 0.05, "c.weight": 2 / 8}
    for key, values in made.items():
        assert abs(values.mean() - means[key]) < 0.02, key
        assert abs(values.std() / spreads[key] - 1) < 0.05, key
