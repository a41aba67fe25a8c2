from keras_pixdt.judges.embedder import ProductEmbedder as ProductEmbedder
from keras_pixdt.judges.embedder import train_embedder as train_embedder
from keras_pixdt.judges.imagenet import densenet121_embedder as densenet121_embedder
from keras_pixdt.judges.imagenet import inception_v3_features as inception_v3_features
from keras_pixdt.search.approximate import ApproximateSearch as ApproximateSearch
from keras_pixdt.search.embedding import embed as embed
from keras_pixdt.search.embedding import fingerprint as fingerprint
from keras_pixdt.search.index import ProductIndex as ProductIndex
