"""What a server counts: declared for Prometheus, in files that workers share, with room taken before it is written."""
