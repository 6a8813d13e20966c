"""streamlearn: the production daemon for online machine learning."""

__version__ = "0.1.0"
