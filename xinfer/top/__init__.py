"""What `xinfer top` shows: samples of the cluster's metrics, what they say over a window of time, and the picture of it."""
