"""Starting and stopping a cluster from the command line. Imports no Ray: that runs in processes of its own."""
