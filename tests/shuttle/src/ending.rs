//! A batcher whose callbacks may end the thread they run on, as `pthread_exit` does.

use crate::account::{Account, OWNER};
use crate::engine::batcher::{Callbacks, Inner, Routes};
use crate::engine::delivery::ResultSet;
use crate::engine::part::Part;
use crate::{Batch, Batcher, Options, Results, Status, world};
use std::sync::Arc;

/// Callbacks of an account, without what `Builder` puts around a closure to catch its panic.
struct Ending {
    account: Arc<Account>,
    /// One callback in this many ends its thread.
    odds: u64,
}

impl Ending {
    fn maybe_end(&self) {
        if world::is_engine_thread() && world::random(self.odds) == 0 {
            world::note(|| "the thread ends".to_owned());
            world::end_thread();
        }
    }
}

impl Callbacks for Ending {
    fn handle(&self, _which: usize, part: &Part) -> Status {
        self.maybe_end();
        let _ = self.account.handle(&mut Batch::new(part));
        self.maybe_end();
        Status::OK
    }

    fn on_result(&self, results: &ResultSet) {
        self.account.deliver(&Results::lent(results));
        self.maybe_end();
    }

    fn release_object(&self, word: u64) {
        self.account.released(word);
        self.maybe_end();
    }

    fn log(&self, _level: i32, _message: &str) {}
}

/// A batcher of one default handler, for `account`; one callback in `odds` ends its thread.
///
/// # Panics
/// If the options contradict each other.
pub fn batcher(account: &Arc<Account>, mut options: Options, odds: u64) -> Batcher {
    options.owner = OWNER;
    let routes = Routes {
        own: 0,
        default: true,
        on_result: true,
        pulled: false,
    };
    let callbacks = Box::new(Ending {
        account: account.clone(),
        odds,
    });
    match Inner::start(&options, routes, callbacks) {
        Ok(engine) => Batcher::new(engine),
        Err(error) => unreachable!("{error}"),
    }
}
