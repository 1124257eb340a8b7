//! Short stories: a cluster at rest, one or two events, and what must hold.
