"""Write the network yourself, chapter by chapter, and be told which mistake you made."""
