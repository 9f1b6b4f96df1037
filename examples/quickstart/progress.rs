//! A progress bar on a terminal, plain lines otherwise. Both go to standard error.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// How far a long piece of work has come. Any thread may advance it.
pub(crate) struct Progress {
    label: &'static str,
    total: u64,
    done: AtomicU64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(label: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("   {msg} [{bar:40}] {percent} %");
            let style = style
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("##-");
            ProgressBar::new(total).with_message(label).with_style(style)
        });
        Self {
            label,
            total,
            done: AtomicU64::new(0),
            bar,
        }
    }

    pub(crate) fn set(&self, done: u64) {
        let done = done.min(self.total);
        let before = self.done.swap(done, Ordering::Relaxed);
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                let quarter = |done| done * 4 / self.total.max(1);
                if quarter(done) > quarter(before) {
                    eprintln!("   {}: {} %", self.label, quarter(done) * 25);
                }
            }
        }
    }

    pub(crate) fn add(&self, more: u64) {
        self.set(self.done.load(Ordering::Relaxed) + more);
    }

    pub(crate) fn finish(&self) {
        self.set(self.total);
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
