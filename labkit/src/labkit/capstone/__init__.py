"""The capstone's hand-in: its two files, the decoder that rebuilds the network from them, and its score."""
