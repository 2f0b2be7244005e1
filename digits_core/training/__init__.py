"""How one recipe is trained: networks, augmentation, losses, optimizers and the one loop."""
