"""Trained models put to use: reading pictures, exported to other formats, tested on other data sets, served over HTTP.

c_source.py     a model as C source, compiled, run and measured
card.py         the model card written beside an exported model
deployed.py     a classifier as one torch module, its ensemble inside
exporting.py    `digits export`: convert, check on every test image, write
exports.py      the options and the result of an export, as plain values
inputs.py       which files `digits predict` is to read
onnx_file.py    a model made into an ONNX file, in float32 or int8
onnx_model.py   an exported ONNX file that reads images, without torch
pages/          the drawing page of `digits serve`: HTML, CSS and script
reader.py       pictures read by a model, in batches
server.py       `digits serve`: the drawing page and the endpoint that reads pictures
submission.py   a table of images read into a table of digits
transfer.py     `digits transfer`: models on other data sets' test sets
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # otherwise onnxruntime calls home as soon as it is imported
