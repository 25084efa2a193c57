pub struct Row {
    pub name: &'static str,
    pub section: &'static str,
}
pub struct Bench;
impl Bench {
    pub fn new() -> Bench {
        Bench
    }
    pub fn run(&self, _: &Row) {}
}
