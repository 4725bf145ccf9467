"""A package, so that it is found before a folder of this name that another package installs."""
