"""A trained model on new recordings; export and model card."""
