"""The resources: one file for each thing of the API, which translates and decides nothing."""
