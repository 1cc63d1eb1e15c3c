"""What an operator gets wrong beside a pool, each with its remedy. Nothing is changed, and no agent need run."""
