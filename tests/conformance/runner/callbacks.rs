//! The handlers and callbacks of a scenario: they do what its script says for this call.

use microbatch::{Batch, Failure};

use super::{Session, name_of};

impl Session {
    pub(super) fn callback(&self, name: &str) {
        self.indented(1, || {
            for action in self.next_actions(name) {
                self.step(action.strip_prefix("do ").expect("a step"));
            }
        });
    }

    pub(super) fn handle(&self, name: &str, batch: &mut Batch<'_>) -> Result<(), Failure> {
        let mut returned = Ok(());
        self.indented(1, || {
            self.show_batch(batch, name);
            self.indented(1, || {
                for action in self.next_actions(name) {
                    let words: Vec<&str> = action.split(' ').collect();
                    match words[0] {
                        "do" => self.step(&action[3..]),
                        "return" => {
                            let code = words[1].parse().expect("a code");
                            returned = if code == 0 {
                                Ok(())
                            } else {
                                Err(Failure::new(code, ""))
                            };
                        }
                        "keep" => match batch.keep() {
                            Ok(kept) => {
                                let mut state = self.state.lock().unwrap();
                                state.held.push(Some(kept));
                                let at = state.held.len();
                                drop(state);
                                self.line(&format!("keep -> OK h{at}"));
                            }
                            Err(status) => self.line(&format!("keep -> {}", status.name())),
                        },
                        _ => {
                            let answer = self.act(batch, &words);
                            if answer.is_err() {
                                self.line(&format!("{action} -> {}", name_of(answer)));
                            }
                        }
                    }
                }
            });
        });
        returned
    }
}
