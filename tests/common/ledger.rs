//! Exactly one result for every value.

use super::*;

/// What producers pushed and what came back. Clones share one account.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
    accounts: Arc<Mutex<HashMap<u64, Account>>>,
}

#[derive(Default)]
struct Account {
    pushed: u64,
    outcomes: Vec<Outcome>,
}

impl Ledger {
    pub(crate) fn new() -> Ledger {
        Ledger::default()
    }

    /// A push of this tag was accepted; may be noted before or after its result comes.
    pub(crate) fn pushed(&self, tag: u64) {
        self.accounts.lock().unwrap().entry(tag).or_default().pushed += 1;
    }

    /// Notes results.
    pub(crate) fn came(&self, results: &Results<'_>) {
        let mut accounts = self.accounts.lock().unwrap();
        for (row, tag) in results.tags().iter().enumerate() {
            accounts
                .entry(*tag)
                .or_default()
                .outcomes
                .push(results.outcome(row));
        }
    }

    /// An `on_result` that notes results.
    pub(crate) fn on_result(&self) -> impl Fn(&Results<'_>) + Send + Sync + 'static + use<> {
        let ledger = self.clone();
        move |results| ledger.came(results)
    }

    /// How many pushes were noted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accounts
            .lock()
            .unwrap()
            .values()
            .map(|account| account.pushed)
            .sum()
    }

    /// How many results ended this way.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        let accounts = self.accounts.lock().unwrap();
        accounts
            .values()
            .flat_map(|account| &account.outcomes)
            .filter(|seen| **seen == outcome)
            .count() as u64
    }

    /// Every pushed value had exactly one result, and nothing else had any.
    pub(crate) fn assert_exactly_one_result_each(&self) {
        for (tag, account) in &*self.accounts.lock().unwrap() {
            let results = account.outcomes.len() as u64;
            assert_eq!(
                results, account.pushed,
                "tag {tag}: pushes and results ({:?})",
                account.outcomes
            );
        }
    }
}
