"""Commands that show and check what there is: methods, spaces, data sets, plugins."""
