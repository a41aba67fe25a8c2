from keras_pixdt import data as data
from keras_pixdt import metrics as metrics
from keras_pixdt import models as models
from keras_pixdt import presets as presets
from keras_pixdt import search as search
from keras_pixdt import training as training
from keras_pixdt.engine.adversarial_model import AdversarialModel as AdversarialModel
from keras_pixdt.engine.adversarial_model import PlayerOptimizers as PlayerOptimizers
from keras_pixdt.models.discogan import DiscoGAN as DiscoGAN
from keras_pixdt.models.domain_transfer import DomainTransferNetwork as DomainTransferNetwork
from keras_pixdt.models.pix2pix import Pix2Pix as Pix2Pix
from keras_pixdt.models.pixel_dtgan import PixelDTGAN as PixelDTGAN
from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN as ResidualPixelDTGAN
from keras_pixdt.models.rough_to_detail import RoughToDetailGAN as RoughToDetailGAN
from keras_pixdt.training.run import load_run as load_run
from keras_pixdt.training.run import train as train

__version__: str
