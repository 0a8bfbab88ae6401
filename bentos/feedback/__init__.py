"""What can be said of an answer afterwards: confirmed, corrected, explained."""
