"""Networks by NumPy: products of matrices, fully connected layers, recurrent states, optimizers."""
