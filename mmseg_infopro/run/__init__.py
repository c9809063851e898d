"""What training, evaluation and export need before a Runner exists."""
