"""Pictures of the page that become styles."""
