//! stopgap
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    S1xx,
    S2xx,
    S3xx,
    S4xx,
    S5xx,
    Network,
    Timeout,
    Canceled,
}
impl Class {
    pub fn of_status(status: u16) -> Class {
        match status {
            100..=199 => Class::S1xx,
            200..=299 => Class::S2xx,
            300..=399 => Class::S3xx,
            400..=499 => Class::S4xx,
            _ => Class::S5xx,
        }
    }
}
#[derive(Default)]
pub struct Figures;
impl Figures {
    pub fn refused(&mut self, _: &'static str) {}
}
