"""What tests share: databases, travel in time, the sandbox, people."""
