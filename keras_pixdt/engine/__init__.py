"""Updates the players of a GAN in turn: the base of the models, optimizers, replicas."""
