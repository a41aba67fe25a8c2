"""One export of all variants, with an embedder, for all tests of the folder."""

import pytest


@pytest.fixture(scope="session")
def converter():
    from tests.export import samples

    return samples.pixel_dtgan_converter()


@pytest.fixture(scope="session")
def embedder():
    """Looks at images in half the size that the converter draws, so that the file must resize."""
    from keras_pixdt.search import ProductEmbedder

    return ProductEmbedder(image_size=32, width=0.25, dimensions=8, seed=3)


@pytest.fixture(scope="session")
def exported(converter, embedder, tmp_path_factory):
    import export
    from tests.export import samples

    directory = tmp_path_factory.mktemp("export") / "files"
    report = export.export_converter(
        converter,
        directory,
        images=samples.photos(8),
        variants=["float32", "float16", "dynamic", "int8"],
        embedder=embedder,
        representative=samples.photos(8, seed=3),
        card=samples.CARD,
    )
    return directory, report
