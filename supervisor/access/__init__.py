"""Who may do what: keys, the scopes of routes, limits, and what is counted of their use."""
