//! stopgap
use crate::base::now::Now;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;
pub const SOCKETS_MAX: usize = 32;
pub struct Resolver;
pub enum Lookup {
    Ready(Rc<[IpAddr]>),
    Pending,
    Failed(DnsFailure),
}
#[derive(Debug)]
pub struct DnsFailure;
impl std::fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dns")
    }
}
impl Resolver {
    pub fn new(_: &str, _: &str, _: u64, _: usize) -> Resolver {
        Resolver
    }
    pub fn lookup(&mut self, host: &str, _: usize, _: &mio::Registry, _: Now) -> Lookup {
        match host {
            "localhost" => Lookup::Ready(Rc::from([IpAddr::from([127, 0, 0, 1])])),
            _ => match host.parse() {
                Ok(a) => Lookup::Ready(Rc::from([a])),
                Err(_) => Lookup::Failed(DnsFailure),
            },
        }
    }
    pub fn on_event(&mut self, _: usize, _: &mio::Registry, _: Now) {}
    pub fn expire(&mut self, _: &mio::Registry, _: Now) {}
    pub fn deadline(&self) -> Option<Instant> {
        None
    }
    pub fn take_woken(&mut self) -> Option<usize> {
        None
    }
    pub fn forget(&mut self, _: usize) {}
}
