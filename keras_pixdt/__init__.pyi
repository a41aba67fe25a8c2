from keras_pixdt import data as data
from keras_pixdt import metrics as metrics
from keras_pixdt import models as models
from keras_pixdt import presets as presets
from keras_pixdt import search as search
from keras_pixdt import training as training
from keras_pixdt.hub.preset import load_preset as load_preset
from keras_pixdt.hub.preset import save_preset as save_preset
from keras_pixdt.hub.preset import upload_preset as upload_preset
from keras_pixdt.models import *  # noqa: F403
from keras_pixdt.training.run import load_run as load_run
from keras_pixdt.training.trainer import train as train

__version__: str
