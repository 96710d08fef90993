"""What is done with runs, without Flask: created, looked up, explained."""
