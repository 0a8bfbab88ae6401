"""From raw records to facts to feature stores. Never meets interpretation."""
