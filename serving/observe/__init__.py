"""What the server tells about itself: statistics, metrics, traces and logs."""
