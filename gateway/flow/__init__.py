"""The walk of an order, one verb a module: intake, tracking, publishing, dispatch."""
