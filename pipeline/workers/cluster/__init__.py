"""Workers on a Ray cluster; nothing else in the project knows Ray."""
