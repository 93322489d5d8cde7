"""The add-on worker: has providers make, change and destroy add-ons."""
