"""From a picture of handwriting to what a network can read: ink found, digits cut out, framed as MNIST was made.

Knows nothing of models or data sets; arrays in, arrays out.
"""
