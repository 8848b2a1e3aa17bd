"""How a joint program uses its helper `aux`: read off its syntax trees, or tried out with another helper in its place."""
