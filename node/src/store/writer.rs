//! The one thread that writes: drains waiting jobs into a transaction, commits, then answers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use rusqlite::Connection;

use super::{StoreError, connect, second_medium};
use crate::faults;

/// The most jobs in one transaction.
const GROUP: usize = 512;

/// How a job ended before its group's commit.
type Reply = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
/// A job runs in its savepoint and leaves a reply to send once the group's fate is known; `false` undoes the savepoint.
type Run = Box<dyn FnOnce(&Connection) -> (bool, Reply) + Send>;

struct Job {
    run: Run,
    /// In place of `run`, if the group never came to it.
    refuse: Box<dyn FnOnce(StoreError) + Send>,
}

type Alone = Box<dyn FnOnce(&Connection) -> Result<(), StoreError> + Send>;

enum Message {
    Job(Job),
    /// Outside any transaction.
    Alone(Alone, Sender<Result<(), StoreError>>),
}

/// Whether the last commit's fate is unknown: nobody reads until the file was opened again. A commit to two files holds it, as
/// the first shows its rows before the second has them.
#[derive(Clone, Debug, Default)]
pub(super) struct Doubt(Arc<Mutex<bool>>);

impl Doubt {
    pub(super) fn hold(&self) -> MutexGuard<'_, bool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Writer {
    pub(super) doubt: Doubt,
    jobs: Option<Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so.
            drop(thread.join());
        }
    }
}

impl Writer {
    pub(super) fn start(path: PathBuf, second: Option<PathBuf>) -> Result<Self, StoreError> {
        let connection = writing(&path, second.as_deref())?;
        let (jobs, waiting) = channel();
        let doubt = Doubt::default();
        let thread = Thread { path, second, doubt: doubt.clone(), connection: Some(connection) };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || thread.run(&waiting))
            .map_err(|_| StoreError::Stopped)?;
        Ok(Self { doubt, jobs: Some(jobs), thread: Some(thread) })
    }

    pub(super) fn write<T, E, F>(&self, job: F) -> Result<Result<T, E>, StoreError>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<rusqlite::Error> + Send + 'static,
    {
        let (answer, answered) = channel();
        let refused = answer.clone();
        let refuse = Box::new(move |error| drop(refused.send(Err(error))));
        let run: Run = Box::new(move |connection| {
            let outcome = job(connection);
            let keep = outcome.is_ok();
            let reply: Reply = Box::new(move |committed: Result<(), StoreError>| {
                // Whoever asked may have gone away; what is committed stays.
                drop(answer.send(committed.map(|()| outcome)));
            });
            (keep, reply)
        });
        self.send(Message::Job(Job { run, refuse }))?;
        answered.recv().map_err(|_| StoreError::Stopped)?
    }

    /// Runs work outside any transaction.
    pub(super) fn alone_with(
        &self,
        work: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (answer, answered) = channel();
        self.send(Message::Alone(Box::new(work), answer))?;
        answered.recv().map_err(|_| StoreError::Stopped)?
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        self.jobs.as_ref().and_then(|jobs| jobs.send(message).ok()).ok_or(StoreError::Stopped)
    }
}

/// The writing connection, with the second medium in step.
fn writing(path: &Path, second: Option<&Path>) -> Result<Connection, StoreError> {
    let connection = connect(path, false)?;
    if let Some(folder) = second {
        second_medium::attach(&connection, folder)?;
    }
    Ok(connection)
}

struct Thread {
    path: PathBuf,
    second: Option<PathBuf>,
    doubt: Doubt,
    /// None after a failed commit, until the file could be opened again.
    connection: Option<Connection>,
}

impl Thread {
    fn run(mut self, waiting: &Receiver<Message>) {
        let mut next = waiting.recv().ok();
        while let Some(message) = next.take() {
            match message {
                Message::Alone(work, answer) => {
                    let result = self.reopened().and_then(work);
                    drop(answer.send(result));
                }
                Message::Job(first) => {
                    let mut group = vec![first];
                    while group.len() < GROUP {
                        match waiting.try_recv() {
                            Ok(Message::Job(job)) => group.push(job),
                            Ok(alone) => {
                                next = Some(alone);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit(group);
                }
            }
            if next.is_none() {
                next = waiting.recv().ok();
            }
        }
    }

    fn commit(&mut self, group: Vec<Job>) {
        let (mut jobs, mut replies) = (group.into_iter(), Vec::new());
        let result = self.group(&mut jobs, &mut replies);
        if let Err(error) = result {
            let error = Arc::new(error);
            self.recover(matches!(*error, StoreError::Unknown));
            replies.into_iter().for_each(|reply| reply(Err(repeated(&error))));
            jobs.for_each(|job| (job.refuse)(repeated(&error)));
        } else {
            replies.into_iter().for_each(|reply| reply(Ok(())));
        }
    }

    /// Runs jobs in one transaction, and commits it.
    fn group(&mut self, jobs: &mut std::vec::IntoIter<Job>, replies: &mut Vec<Reply>) -> Result<(), StoreError> {
        let (doubt, two) = (self.doubt.clone(), self.second.is_some());
        let connection = self.reopened()?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        while jobs.len() > 0 {
            connection.prepare_cached("SAVEPOINT job")?.execute([])?;
            let Some(job) = jobs.next() else { break };
            let (keep, reply) = (job.run)(connection);
            replies.push(reply);
            // A full disk may have undone the whole transaction under the job's feet.
            if connection.is_autocommit() {
                return Err(StoreError::Full);
            }
            if !keep {
                connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
            }
            connection.prepare_cached("RELEASE job")?.execute([])?;
        }
        connection.execute_batch(second_medium::NEXT_GROUP)?;
        faults::at("store-before-commit");
        let held = two.then(|| doubt.hold());
        let commit = connection.execute_batch("COMMIT");
        let commit = faults::commit_outcome(commit);
        faults::at("store-after-commit");
        commit.map_err(|error| match StoreError::from(error) {
            // With two files the first may have the group although the second is full.
            StoreError::Full if !two => StoreError::Full,
            _ => {
                *held.unwrap_or_else(|| doubt.hold()) = true;
                StoreError::Unknown
            }
        })
    }

    /// After a failure: rolls back, and after a commit of unknown outcome opens the file anew, so that what is read next is what
    /// the disk holds.
    fn recover(&mut self, unknown: bool) {
        if let Some(connection) = &self.connection
            && !connection.is_autocommit()
            && connection.execute_batch("ROLLBACK").is_err()
        {
            self.connection = None;
        }
        // A medium that was pulled out and put back is another file to the system.
        if unknown || self.second.is_some() {
            self.connection = None;
            drop(self.reopened());
        }
    }

    fn reopened(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.is_none() {
            let connection = writing(&self.path, self.second.as_deref())?;
            // Overwrites what the failed commit may have left in the write-ahead log, where a later recovery could find it; and
            // has to reach the disk before anything more is promised.
            connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT", second_medium::NEXT_GROUP))?;
            self.connection = Some(connection);
            *self.doubt.hold() = false;
        }
        self.connection.as_ref().ok_or(StoreError::Stopped)
    }
}

/// The error of a group, for each of its jobs. But for a commit of unknown outcome nothing of the group holds.
fn repeated(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::Full => StoreError::Full,
        StoreError::Unknown => StoreError::Unknown,
        StoreError::SecondMedium { path } => StoreError::SecondMedium { path: path.clone() },
        _ => StoreError::NothingDone(Arc::clone(error)),
    }
}
