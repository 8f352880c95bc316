"""A module for each verb of the product, or a folder where a verb has several. A workflow returns a Report; it never prints."""
