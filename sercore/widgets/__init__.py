"""Browsers for JupyterLab and Voila: from a table or figure of the study down to the utterance and its sound.

Each browser is a class that chooses and counts (`Confusions`, `Residuals`, `Filters`, `Runs`), tested without
drawing, and a class of ipywidgets that shows it. Nothing here imports torch.
"""
