//! SpatiaFi in memory.
