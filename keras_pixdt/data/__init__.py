"""Images, pairs and batches: what a model of this library is trained on."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "keras_pixdt.data.batches": ["Triplets", "triplets"],
        "keras_pixdt.data.domains": ["load_domains"],
        "keras_pixdt.data.edges": ["draw_edges"],
        "keras_pixdt.data.images": [
            "ImageError",
            "image_grid",
            "letterbox",
            "read_image",
            "resize",
            "stretch",
            "to_float",
            "to_uint8",
            "write_image",
        ],
        "keras_pixdt.data.load": ["load_pairs", "render_lookbook"],
        "keras_pixdt.data.readers.lookbook": ["LookBook", "read_lookbook"],
        "keras_pixdt.data.pairs": ["DomainSet", "Labels", "PairSet"],
        "keras_pixdt.data.splits": ["split_groups"],
        "keras_pixdt.data.unpaired": ["Unpaired", "unpaired"],
    },
)
