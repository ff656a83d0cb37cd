"""What every service needs of HTTP, and nothing of what any one service does."""
