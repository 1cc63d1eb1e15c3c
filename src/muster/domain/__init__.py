"""What is true: values, state tables and plans, with no I/O and no clock."""
