"""From a picture of handwriting to images a network can read. Arrays in, arrays out; knows no models or data sets.

boxes.py        where something is, and what it is if it is no digit
cutting.py      proposes where to cut digits that touch
decode.py       picture files as RGB pixels
folders.py      the pictures in a folder, and the labels that names give
frames.py       removes boxes, tables, margin lines and underlines
framing.py      puts a digit's ink into the frame of MNIST and other data sets
ink.py          finds the ink on the paper
marks.py        groups ink into digits, in reading order
pipeline.py     the whole way from a picture to framed digits
reading.py      what was read in a picture, as plain values
rulings.py      removes the lines of ruled and squared paper
sheet.py        finds the sheet of paper in a photo, and the dark edges of a scan
signs.py        tells points, dashes, slashes and words from digits
"""
