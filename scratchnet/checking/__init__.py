"""Is a gradient right? Everything that answers this without PyTorch."""
