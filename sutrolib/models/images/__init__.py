"""Models of images: perceptron, mixture of experts, nearest neighbours."""
