"""The online store as a worker reads it: any of Feast's, LMDB's packed rows, and the watch over whether it answers."""
