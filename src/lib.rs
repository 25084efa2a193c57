//! A reverse proxy for AI APIs: one thread, one poll loop, one path through it.
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
//! - [`http`]: bytes in, facts out. Strict: anything that two parsers could read differently is refused.
//! - [`policy`]: which clients may pass ([`policy::access`]), which key serves ([`policy::keyring`]), what a response
//!   means ([`policy::verdict`]), when keys are probed ([`policy::probes`]). It is given facts and the time.
//! - [`net`]: sockets, TLS, the pool of idle connections, dials, names.
//! - [`config`]: the four files; all problems are reported at once.
//! - [`figures`]: counters, histograms and the most recent requests, in plain integers.
//! - [`exchange`]: the states of a request. It never sees a socket or a clock.
//! - [`arguments`], [`capacity`], [`listen`]: the command line, file descriptors, listening sockets. None of them knows
//!   another part of the program.
//!
//! # One request's way
//!
//! 1. [`server::Server`] polls, and [`server::scheduler::Scheduler`] passes each event to its session as a hint, and
//!    drives the sessions that have one.
//! 2. [`session::Session::drive`] reads what is wanted, lets the exchange step, and sends, until nothing moves.
//! 3. `Reading` finds the end of the head, parses it, admits the request ([`exchange::admission`]) and rewrites it
//!    ([`exchange::forward`]).
//! 4. `Choosing` waits until the request is counted in the journal ([`ledger`]) and asks the keyring for a permit. The
//!    session gets a connection, from the pool or by dialing.
//! 5. `Trying` sends the head, the key and the body and waits for the response head. Depending on what that means
//!    ([`policy::verdict`]), it tries again with another key or goes on.
//! 6. `Relaying` passes the response on as it arrives; interim responses before it are passed on by `Interim`. `Tunnel`
//!    passes bytes both ways after a 101. In these states a retry does not compile: what it would need has been given
//!    up. Small writes are batched across clients.
//! 7. The permit is released, and the connection goes to the pool or is closed. The request is recorded in the figures
//!    once all of the turn's responses have been sent.
//!
//! Health probes are sessions without a client; the built-in demo platform is a session in another role, reached over a
//! real connection. Responses of the program itself go through `Replying`.
//!
//! # Invariants
//!
//! - A session waits only when none of its connections both wants to and can make progress. Every state that waits has
//!   a deadline, or is woken by something that has one: the ledger or a round of probes.
//! - Room in the buffers decides what is read: nothing while more is buffered than an unfinished message can need, and,
//!   after a response's head, nothing more until its client has taken what came before. So TCP slows the sender; there
//!   is no flag for it.
//! - A request gets one final response head. A permit's outcome is reported, and the permit is released, exactly once
//!   (dropping one fails an assertion in debug builds).
//! - A truncated message never looks complete: its last chunk is missing, its length is not reached, or the connection
//!   is reset. Tunnels are excepted: a reset could discard the last bytes that were sent.
//! - Streams in progress come first in a turn, and wait for a bounded part of all other work ([`base::work`]). If they
//!   have only passed bytes on and nothing else is due, the turn ends there.
//! - The clock is read once a turn, in one place, that of the day no more than once a millisecond; otherwise only to
//!   measure how long the turn has taken, and to stamp a line of the log. While the loop runs, it sleeps in the poll alone.
//! - What an event of a stream runs through lies close together: half of the time that it takes outside of the kernel goes
//!   into fetching code and data that the kernel's own have displaced. What it does not need is kept apart, by
//!   `#[inline(never)]` and `#[cold]`, and by the order of the fields of a session.
//! - A bug that panics while a session is driven ends one request, whose client is told so if nothing of a response has
//!   been sent; all others go on.
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
