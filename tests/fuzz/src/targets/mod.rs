//! What each target does with its bytes.
//!
//! | target | bytes are |
//! |---|---|
//! | `options` | names and texts for `mb_options_set`, and numbers for the fields; then a batcher |
//! | `values` | values of every kind and bulk arrays with their bitmaps and offsets; echoed and compared |
//! | `calls` | calls of the C API with handles that are live, freed, of the wrong type or made up |
//! | `conformance` | a scenario as a file has it; played by the engine and the reference model |
//! | `histories` | the choices of a random history, played by the engine and the reference model |

pub mod calls;
pub mod conformance;
pub mod histories;
pub mod options;
pub mod values;
