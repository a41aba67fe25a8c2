import keras
import numpy as np
import pytest

from keras_pixdt.data.images import to_float
from keras_pixdt.search import densenet121_embedder, inception_v3_features
from tests.judges.embedder_test import embed, garments


def test_densenet_features_equal_keras_applications(tmp_path):
    keras.utils.set_random_seed(0)
    reference = keras.applications.DenseNet121(
        include_top=False, weights=None, pooling="avg", input_shape=(64, 64, 3)
    )
    reference.save_weights(tmp_path / "densenet.weights.h5")
    model = densenet121_embedder(tmp_path / "densenet.weights.h5", image_size=64)
    images = garments(2, 64)
    prepared = keras.applications.densenet.preprocess_input(images.astype("float32"))
    expected = embed(reference, prepared)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(model, to_float(images)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("load", "network", "name"),
    [
        (densenet121_embedder, "DenseNet121", "densenet121"),
        (inception_v3_features, "InceptionV3", "inception_v3"),
    ],
)
def test_without_weights_it_says_where_they_belong(load, network, name, tmp_path, monkeypatch):
    missing = tmp_path / "weights.h5"
    with pytest.raises(FileNotFoundError, match=f"{network}'s .* not at {missing}, and nothing is"):
        load(missing)
    file = f"{name}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"not at {tmp_path}/models/{file}"):
        load()
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"not at {tmp_path}/.keras/models/{file}"):
        load()


@pytest.mark.slow
def test_inception_features_equal_keras_applications(tmp_path):
    keras.utils.set_random_seed(0)
    reference = keras.applications.InceptionV3(
        include_top=False, weights=None, pooling="avg", input_shape=(96, 96, 3)
    )
    reference.save_weights(tmp_path / "inception.weights.h5")
    model = inception_v3_features(tmp_path / "inception.weights.h5", image_size=96)
    images = garments(2, 96)
    prepared = keras.applications.inception_v3.preprocess_input(images.astype("float32"))
    features = embed(model, to_float(images))
    assert features.shape == (2, 2048)
    np.testing.assert_allclose(features, embed(reference, prepared), rtol=1e-4, atol=1e-6)
