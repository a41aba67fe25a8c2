"""The papers' studies with people: a page on which results are rated, and the table of it."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "keras_pixdt.study.agreement": ["krippendorff_alpha"],
        "keras_pixdt.study.creation": ["create", "parse_methods"],
        "keras_pixdt.study.page": ["write_study"],
        "keras_pixdt.study.protocols": ["PROTOCOLS"],
        "keras_pixdt.study.scoring": ["score", "table"],
    },
)
