"""Trained models put to use: they read pictures, travel as files of other formats, answer over HTTP."""
