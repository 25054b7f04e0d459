"""Where should language enter a network that listens? A study of speech emotion recognition."""
