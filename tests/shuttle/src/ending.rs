//! A batcher whose callbacks may end the thread they run on.
