"""The first screen: workers, jobs and logs side by side."""
