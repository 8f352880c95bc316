"""What incidents work with: RabbitMQ, sessions of PostgreSQL, notifications, addresses, programs that hold something."""
