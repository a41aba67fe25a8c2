"""What updates the players of a GAN in turns: the base of the models, optimizers, replicas."""
