//! The models. Each runs under random, sticky and PCT schedules, and each group has a positive control: a bug in the
//! engine, or in the world under it, that the model must catch.

mod flow;
