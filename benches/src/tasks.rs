//! Peers made of tasks, a oneshot channel for each value: by hand on tokio, tower-batch, batch-aint-one.
//!
//! Producers are tasks. Each keeps its share of the values outstanding and waits for the oldest result before it pushes the
//! next value. All run on a runtime of one thread, where they are fastest: between threads every value pays for a wake.

use crate::channel::{Tally, value};
use crate::side::{Config, Side, now};
use batch_aint_one::{Batcher, BatchingPolicy, Limits, OnFull, Processor};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tower::{Service, ServiceExt};
use tower_batch::{Batch, BatchControl};

/// A way to have a value doubled in a batch.
pub trait Way: Clone + Send + Sync + 'static {
    /// Starts what is needed; called inside the runtime.
    fn start(config: &Config) -> Self;
    /// A result to come.
    type Result: Future<Output = Option<i64>> + Send + Unpin;
    /// Pushes one value.
    fn push(&mut self, value: i64) -> impl Future<Output = Self::Result> + Send;
}

/// A side made of a way.
pub struct Tasks<W: Way> {
    // A runtime of one thread is driven by one caller.
    runtime: Mutex<Runtime>,
    way: W,
    window: u64,
    tally: Arc<Tally>,
}

impl<W: Way> Tasks<W> {
    /// Makes one.
    pub fn new(config: Config) -> Tasks<W> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        let Ok(runtime) = runtime else {
            unreachable!("a runtime without IO needs nothing")
        };
        let way = {
            let _inside = runtime.enter();
            W::start(&config)
        };
        Tasks {
            runtime: Mutex::new(runtime),
            way,
            window: config.outstanding,
            tally: Arc::default(),
        }
    }
}

async fn produce<W: Way>(mut way: W, window: usize, first: u64, count: u64, tally: Arc<Tally>) {
    let mut waiting = VecDeque::with_capacity(window);
    let (mut sum, mut expected) = (0, 0);
    for tag in first..first + count {
        if waiting.len() >= window {
            let result: Option<W::Result> = waiting.pop_front();
            let Some(result) = result else { return };
            sum += result.await.unwrap_or(-1) as u64;
        }
        expected += 2 * value(tag) as u64;
        waiting.push_back(way.push(value(tag)).await);
    }
    for result in waiting {
        sum += result.await.unwrap_or(-1) as u64;
    }
    tally.add(count, sum, expected);
}

impl<W: Way> Side for Tasks<W> {
    fn push(&self, _producer: u64, first: u64, count: u64) {
        self.job(first, 1, count);
    }

    fn drain(&self) {}

    fn delivered(&self) -> u64 {
        self.tally.delivered.load(Ordering::Acquire)
    }

    fn last_at(&self) -> i64 {
        self.tally.last_at.load(Ordering::Relaxed)
    }

    fn batches(&self) -> u64 {
        self.tally.batches.load(Ordering::Relaxed)
    }

    fn sums(&self) -> (u64, u64) {
        (
            self.tally.sum.load(Ordering::Relaxed),
            self.tally.expected.load(Ordering::Relaxed),
        )
    }

    fn job(&self, first: u64, producers: u64, values: u64) -> Option<f64> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let window = (self.window / producers).max(1) as usize;
        let started = now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..producers)
                .map(|producer| {
                    let task = produce(
                        self.way.clone(),
                        window,
                        first + producer * values,
                        values,
                        self.tally.clone(),
                    );
                    tokio::spawn(task)
                })
                .collect();
            for task in tasks {
                assert!(task.await.is_ok(), "a producer failed");
            }
        });
        Some((now() - started) as f64)
    }
}

// ---- by hand -------------------------------------------------------------------------------------------------

/// A bounded tokio channel, `recv_many`, and a task that collects up to a size or a time.
#[derive(Clone)]
pub struct ByHand(mpsc::Sender<(i64, oneshot::Sender<i64>)>);

/// A oneshot's end, as a result.
pub struct Answer(oneshot::Receiver<i64>);

impl Future for Answer {
    type Output = Option<i64>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<i64>> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

impl Way for ByHand {
    fn start(config: &Config) -> ByHand {
        let (sender, mut receiver) = mpsc::channel(config.outstanding as usize);
        let (size, delay) = (
            config.max_batch_size as usize,
            Duration::from_nanos(config.max_delay_ns as u64),
        );
        tokio::spawn(async move {
            let mut batch: Vec<(i64, oneshot::Sender<i64>)> = Vec::with_capacity(size);
            while receiver.recv_many(&mut batch, size).await > 0 {
                if batch.len() < size && !delay.is_zero() {
                    let until = tokio::time::Instant::now() + delay;
                    while batch.len() < size {
                        let room = size - batch.len();
                        let more = receiver.recv_many(&mut batch, room);
                        if !matches!(tokio::time::timeout_at(until, more).await, Ok(1..)) {
                            break;
                        }
                    }
                }
                for (value, answer) in batch.drain(..) {
                    // Nobody waits for it any more: that is the producer's right.
                    let _ = answer.send(2 * value);
                }
            }
        });
        ByHand(sender)
    }

    type Result = Answer;

    async fn push(&mut self, value: i64) -> Answer {
        let (answer, result) = oneshot::channel();
        // A closed channel shows as a result that never comes.
        let _ = self.0.send((value, answer)).await;
        Answer(result)
    }
}

// ---- tower-batch ---------------------------------------------------------------------------------------------

type Request = (i64, oneshot::Sender<i64>);

/// The service inside: collects items, doubles them at a flush.
pub struct Doubling(Vec<Request>);

impl Service<BatchControl<Request>> for Doubling {
    type Response = ();
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<(), Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, control: BatchControl<Request>) -> Self::Future {
        match control {
            BatchControl::Item(item) => self.0.push(item),
            BatchControl::Flush => {
                for (value, answer) in self.0.drain(..) {
                    // As above.
                    let _ = answer.send(2 * value);
                }
            }
        }
        std::future::ready(Ok(()))
    }
}

/// tower-batch. It tells every caller that its batch was flushed; the result of a value takes a oneshot of its own.
#[derive(Clone)]
pub struct Tower(Batch<Doubling, Request>);

/// A result, and the batch's own answer: it comes with the result, and a value whose caller drops it is left out.
pub struct TowerAnswer {
    result: oneshot::Receiver<i64>,
    _flushed: Option<<Batch<Doubling, Request> as Service<Request>>::Future>,
}

impl Future for TowerAnswer {
    type Output = Option<i64>;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<i64>> {
        Pin::new(&mut self.result).poll(context).map(Result::ok)
    }
}

impl Way for Tower {
    fn start(config: &Config) -> Tower {
        let service = Doubling(Vec::with_capacity(config.max_batch_size as usize));
        let delay = Duration::from_nanos(config.max_delay_ns as u64);
        Tower(Batch::new(service, config.max_batch_size as usize, delay))
    }

    type Result = Pin<Box<TowerAnswer>>;

    async fn push(&mut self, value: i64) -> Self::Result {
        let (answer, result) = oneshot::channel();
        let flushed = self.0.ready().await.ok().map(|ready| ready.call((value, answer)));
        Box::pin(TowerAnswer {
            result,
            _flushed: flushed,
        })
    }
}

// ---- batch-aint-one ------------------------------------------------------------------------------------------

/// The processor.
#[derive(Clone, Debug)]
pub struct Doubler;

impl Processor for Doubler {
    type Key = ();
    type Input = i64;
    type Output = i64;
    type Error = String;
    type Resources = ();

    async fn acquire_resources(&self, (): ()) -> Result<(), String> {
        Ok(())
    }

    async fn process(
        &self,
        (): (),
        inputs: impl Iterator<Item = i64> + Send,
        (): (),
    ) -> Result<Vec<i64>, String> {
        Ok(inputs.map(|value| 2 * value).collect())
    }
}

/// batch-aint-one; a value is pushed when its future is first polled.
#[derive(Clone)]
pub struct AintOne(Arc<Batcher<Doubler>>);

impl Way for AintOne {
    fn start(config: &Config) -> AintOne {
        let limits = Limits::builder()
            .max_batch_size(config.max_batch_size as usize)
            .max_key_concurrency(1)
            .max_key_queued_items(2 * config.outstanding as usize)
            .max_items_awaiting_worker(2 * config.outstanding as usize)
            .build();
        let policy = match config.max_delay_ns {
            0 => BatchingPolicy::Immediate,
            delay => BatchingPolicy::Duration(Duration::from_nanos(delay as u64), OnFull::Process),
        };
        let batcher = Batcher::builder()
            .name("bench")
            .processor(Doubler)
            .limits(limits)
            .batching_policy(policy)
            .build();
        AintOne(Arc::new(batcher))
    }

    type Result = Pin<Box<dyn Future<Output = Option<i64>> + Send>>;

    async fn push(&mut self, value: i64) -> Self::Result {
        let batcher = self.0.clone();
        // tokio lets a task do so many operations before it has to let others run; then the value would not be pushed now
        // but when its result is asked for, alone.
        let adding = tokio::task::unconstrained(async move { batcher.add((), value).await.ok() });
        let mut adding: Self::Result = Box::pin(adding);
        match std::future::poll_fn(|context| Poll::Ready(adding.as_mut().poll(context))).await {
            Poll::Ready(result) => Box::pin(std::future::ready(result)),
            Poll::Pending => adding,
        }
    }
}
