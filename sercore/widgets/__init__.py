"""Browsers for JupyterLab and Voila: from a table or figure of the study down to the utterance and its sound.

What is chosen and counted stands in modules without drawing (`selection`, `listing`, `confusion_state`,
`residual_state`), so that it is tested without a browser; the others draw it with ipywidgets. Nothing here imports
torch.
"""
