"""What plugins have while the application is open: a life of their own, tasks, and tables."""
