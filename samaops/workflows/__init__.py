"""One module per verb of the product. A workflow returns a Report; it never prints."""
