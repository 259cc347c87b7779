"""What a training image brings for the SDK's MPI driver, for a machine without Docker: SSH among a job's hosts."""
