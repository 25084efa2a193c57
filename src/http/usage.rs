//! stopgap
#[derive(Default)]
pub struct UsageScan;
pub enum Format {
    Json,
    EventStream,
    Ignored,
}
impl Format {
    pub fn of(_: Option<&[u8]>, _: Option<&[u8]>) -> Format {
        Format::Ignored
    }
}
impl UsageScan {
    pub fn new(_: Format) -> UsageScan {
        UsageScan
    }
    pub fn scan(&mut self, _: &[u8]) {}
}
#[derive(Default)]
pub struct ModelScan;
impl ModelScan {
    pub fn scan(&mut self, _: &[u8]) {}
}
