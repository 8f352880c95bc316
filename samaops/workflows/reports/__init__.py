"""What is told of a period: availability, the guide's objectives, growth."""
