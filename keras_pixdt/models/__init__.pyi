# The papers, in the order of docs/papers.md. A line here registers a paper: the public names of
# `keras_pixdt`, and the presets of `presets/MODULE.py`, follow from it.
from keras_pixdt.models.pixel_dtgan import PixelDTGAN as PixelDTGAN
from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN as ResidualPixelDTGAN
from keras_pixdt.models.rough_to_detail import RoughToDetailGAN as RoughToDetailGAN
from keras_pixdt.models.pix2pix import Pix2Pix as Pix2Pix
from keras_pixdt.models.discogan import DiscoGAN as DiscoGAN
from keras_pixdt.models.point_discogan import PointDiscoGAN as PointDiscoGAN
from keras_pixdt.models.domain_transfer import DomainTransferNetwork as DomainTransferNetwork
from keras_pixdt.models.appearance_flow import AppearanceFlow as AppearanceFlow

from keras_pixdt.engine.model import AdversarialModel as AdversarialModel
from keras_pixdt.engine.optimizers import PlayerOptimizers as PlayerOptimizers
from keras_pixdt.models.super_resolution import SuperResolution as SuperResolution
