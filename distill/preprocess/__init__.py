"""Images and texts to arrays: the same code in training and on the device."""
