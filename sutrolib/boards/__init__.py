"""The group's public boards: their rules as data, and scores as the public scorers give them."""
