"""Networks that judge images (embedder, attributes, classifier), and the upscaler."""
