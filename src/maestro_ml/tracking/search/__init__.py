"""Search: a filter tree, the select it becomes, and the pages of what it finds."""
