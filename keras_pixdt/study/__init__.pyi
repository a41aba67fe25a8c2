from keras_pixdt.study.agreement import krippendorff_alpha as krippendorff_alpha
from keras_pixdt.study.creation import create as create
from keras_pixdt.study.creation import parse_methods as parse_methods
from keras_pixdt.study.page import write_study as write_study
from keras_pixdt.study.protocols import PROTOCOLS as PROTOCOLS
from keras_pixdt.study.scoring import score as score
from keras_pixdt.study.scoring import table as table
