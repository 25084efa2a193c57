//! One thread, one poll loop, one way through it.
//!
//! # Layers
//!
//! ```text
//! base                                       buffers, timers, ids, secrets, client keys
//!  ^-- http  policy  net  config  figures    none of these knows another of them
//!       ^-- site  journal  ledger  service   the configuration compiled; what survives; the program's own pages
//!            ^-- exchange                    one request as a state machine
//!                 ^-- session                moves bytes between two connections and one exchange
//!                      ^-- reload  server    new configurations; the turn
//!                           ^-- start        from the files to a running server
//! ```
//!
//! - [`http`]: bytes in, facts out. Strict: what two parsers could read differently is refused.
//! - [`policy`]: who may pass ([`policy::access`]), which key serves ([`policy::keyring`]), what an answer means
//!   ([`policy::verdict`]), when keys are probed ([`policy::probes`]). It is told facts and time.
//! - [`net`]: sockets, TLS, the pool of idle connections, dials, names.
//! - [`config`]: the four files, every problem told at once.
//! - [`figures`]: counters, histograms, the last requests: plain integers.
//! - [`exchange`]: the states of a request. It never sees a socket or a clock.
//! - [`arguments`], [`capacity`], [`listen`]: the command line, file descriptors, listening sockets. None of them knows
//!   another part of the program.
//!
//! # One request's way
//!
//! 1. [`server::Server`] polls, and [`server::scheduler::Scheduler`] gives each event to its session as a hint, and drives
//!    the sessions that have one.
//! 2. [`session::Session::drive`] reads what is wanted, lets the exchange step, and sends, until nothing moves.
//! 3. `Reading` finds the head's end, parses it, admits the request ([`exchange::admission`]) and writes it anew
//!    ([`exchange::forward`]).
//! 4. `Choosing` waits until the request is counted in the journal ([`ledger`]) and asks the keyring for a permit. The session
//!    gets a connection: out of the pool, or dialed.
//! 5. `Trying` sends head, key and body and awaits the answer's head. By what that means ([`policy::verdict`]) it begins
//!    anew with another key, or goes on.
//! 6. `Relaying` passes the answer on as it comes; interim answers before it are passed on by `Interim`. `Tunnel` passes
//!    bytes both ways after a 101. In these states no retry compiles: what it would need has been given up. Small writes are
//!    batched across clients.
//! 7. The permit is released, the figures get their line, the connection goes to the pool or is closed.
//!
//! Health probes are sessions without a client; the built-in demo platform is a session of another role, reached over
//! a real connection. What the program itself answers goes through `Replying`.
//!
//! # Invariants
//!
//! - A session waits only when no connection both wants and can move, and every state that waits has a deadline, or is
//!   woken by what has one: the ledger, and a round of probes.
//! - Room decides what is read: nothing while more waits than an unfinished message can have, and no more of an answer, once
//!   its head is there, while its client has not taken what came before. So TCP slows the sender; no flag says that it should.
//! - One request gets one final head; a permit's outcome is told, and the permit is released, exactly once (dropping one
//!   asserts).
//! - What broke off never looks whole: a missing last chunk, a length not reached, or a reset. Tunnels are excepted:
//!   a reset could take away what was said last.
//! - Streams that are under way come first in a turn, and wait for a bounded part of all other work ([`base::work`]).
//! - The clock is read once a turn, in one place, and else only to see how long the turn has taken, and to stamp a line of
//!   the log; sleeping happens in the poll alone, while the loop runs.
//! - A defect that panics while a session is driven ends one request, whose client is told so if nothing of an answer has
//!   left; all others go on.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod base;
pub mod capacity;
pub mod config;
pub mod exchange;
pub mod figures;
pub mod http;
pub mod journal;
pub mod ledger;
pub mod listen;
pub mod net;
pub mod policy;
pub mod reload;
pub mod server;
pub mod service;
pub mod session;
pub mod site;
pub mod start;
