"""How a graph runs on a target: operations cut into tiles, scheduled on the array, the links and the host."""
