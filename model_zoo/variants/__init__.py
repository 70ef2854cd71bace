"""Published networks as literal tables, one file per family; importing a file registers its variants."""
